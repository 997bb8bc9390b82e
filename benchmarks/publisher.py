"""One health checker of the load: calls over one HTTP connection that is kept alive."""

import json
import socket
import time
from typing import Any

from benchmarks.failure import BenchmarkFailed
from benchmarks.load import Load

__all__ = ["Publisher", "RawPublisher"]

# Seconds after which another connection is made: servers end one that has been idle for 5.
_KEPT_ALIVE = 2.0


class Publisher:
    """Posts GraphQL requests, one at a time, and reads the answers in the loop."""

    def __init__(self, load: Load, address: tuple[str, int], *, path: str, token: str) -> None:
        self.answered = 0
        self.changed = 0
        """Statuses that have changed by what was published, as the answers say."""
        self._load = load
        self._address = address
        self._sent = 0
        self._received = b""
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
            "Content-Type: application/json\r\nAccept: application/json\r\nContent-Length: "
        ).encode()
        self._connect()

    def send(self, body: bytes) -> None:
        """Post a request; the answer counts in :attr:`answered` when it has come."""
        if not self._is_open or time.monotonic() - self._used > _KEPT_ALIVE:
            self.close()
            self._connect()
        self._sent += 1
        self.sock.sendall(b"%b%d\r\n\r\n%b" % (self._head, len(body), body))

    def call(self, body: bytes, *, timeout: float = 60) -> None:
        """Post a request, and read until its answer has come."""
        before = self.answered
        self.send(body)
        self._load.run_until(lambda: self.answered > before, timeout=timeout, waiting_for="the answer to a publish")

    def on_readable(self, buffer: bytearray) -> None:
        """Read what there is of the answer."""
        size = self.sock.recv_into(buffer)
        if self._sent == self.answered:
            # Idle for too long, for this server, which may say so (408): the next call makes another connection.
            self._load.remove(self)
            self._is_open = False
            return
        if not size:
            raise BenchmarkFailed("expected an answer to a publish, but the server has ended the connection")
        self._received += buffer[:size]
        head, found, body = self._received.partition(b"\r\n\r\n")
        if found and len(body) >= _content_length(head):
            self._received = b""
            self._take(head, body)

    def _take(self, head: bytes, body: bytes) -> None:
        answer: dict[str, Any] = json.loads(body) if head.startswith(b"HTTP/1.1 200") else {}
        if not answer.get("data") or answer.get("errors"):
            raise BenchmarkFailed(f"expected a publish to succeed, but the answer is {head[:40]!r}, {body[:500]!r}")
        self.changed += sum(result["changed"] for result in answer["data"].values())
        self.answered += 1
        self._used = time.monotonic()

    def close(self) -> None:
        """Hang up."""
        if self._is_open:
            self._load.remove(self)
        self.sock.close()

    def _connect(self) -> None:
        self.sock = socket.create_connection(self._address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._load.add(self)
        self._is_open = True
        self._used = time.monotonic()


class RawPublisher:
    """Has the sender of frames send: one byte says which, and comes back when all have been handed to the kernel."""

    def __init__(self, load: Load, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answered = 0
        self._load = load
        load.add(self)

    def send(self, body: bytes) -> None:
        """Have it send."""
        self.sock.sendall(body)

    def on_readable(self, buffer: bytearray) -> None:
        """Count the answers."""
        size = self.sock.recv_into(buffer)
        if not size:
            raise BenchmarkFailed("expected the sender of frames to answer, but it has ended")
        self.answered += size

    def close(self) -> None:
        """Hang up."""
        self._load.remove(self)
        self.sock.close()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise BenchmarkFailed(f"expected an answer with a Content-Length, but got {head[:500]!r}")
