"""One subscribed connection of the load."""

import json
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.failure import BenchmarkFailed
from benchmarks.frames import FrameCounter, client_frame
from benchmarks.load import Load

__all__ = ["OPERATION_ID", "RawSubscriber", "Subscriber"]

# All subscribers use the same one, so that all who ought to get the same get the same bytes.
OPERATION_ID = "1"

_HANDSHAKE = (
    b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
_PING = client_frame(b'{"type":"ping"}')


class _Connection:
    """What a WebSocket and a bare socket have in common: frames are counted."""

    __slots__ = ("_on_count", "cursor", "frames", "is_live", "sock")

    def __init__(self, address: tuple[str, int], on_count: Callable[[int], None], *, keep: bool) -> None:
        self.sock = socket.create_connection(address)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.frames = FrameCounter(keep=keep)
        self.is_live = False
        self.cursor: str | None = None
        """The newest one that a checkpoint brought."""
        self._on_count = on_count

    def abort(self) -> None:
        """Vanish without a word, as when the network blinks."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _read(self, buffer: bytearray) -> int:
        size = self.sock.recv_into(buffer)
        if not size:
            raise BenchmarkFailed(f"expected an open connection, but the server has ended it{self._reason()}")
        return size

    def _reason(self) -> str:
        close = self.frames.close
        return f" with {int.from_bytes(close[:2], 'big')}, {close[2:].decode()!r}" if close else ""


class RawSubscriber(_Connection):
    """Takes frames from a server that sends them without having been asked."""

    def __init__(self, load: Load, address: tuple[str, int], on_count: Callable[[int], None]) -> None:
        super().__init__(address, on_count, keep=False)
        self.is_live = True
        load.add(self)

    def on_readable(self, buffer: bytearray) -> None:
        """Count."""
        size = self._read(buffer)
        if count := self.frames.feed(buffer, size):
            self._on_count(count)


class Subscriber(_Connection):
    """Speaks graphql-transport-ws: handshake, ``connection_init``, ``subscribe``, and then counts what comes."""

    __slots__ = ("_head", "_on_live", "_subscribe", "_talk", "_tells_live")

    def __init__(
        self,
        load: Load,
        address: tuple[str, int],
        *,
        path: str,
        init: Mapping[str, Any],
        subscribe: bytes,
        tells_live: bool,
        on_live: Callable[["Subscriber"], None],
        on_count: Callable[[int], None],
        keep: bool = False,
    ) -> None:
        """Connect, and go on by itself while the loop runs.

        Args:
            load: where it lives.
            address: of the server.
            path: of the endpoint.
            init: the payload of ``connection_init``.
            subscribe: the frame of the ``subscribe`` message.
            tells_live: the server sends a ping with cursors once a subscription is live; others are asked for a
                pong after the ``subscribe``, which proves that it has been read.
            on_live: called then.
            on_count: called with the number of ``next`` messages of each read.
            keep: keep their payloads.
        """
        super().__init__(address, on_count, keep=keep)
        self._head: bytes | None = b""
        self._subscribe = subscribe
        self._tells_live = tells_live
        self._on_live = on_live
        self._talk = client_frame(json.dumps({"type": "connection_init", "payload": init}).encode())
        load.add(self)
        self.sock.sendall(_HANDSHAKE % path.encode())

    def on_readable(self, buffer: bytearray) -> None:
        """Count, and answer."""
        size = self._read(buffer)
        if self._head is not None:
            self._upgrade(bytes(buffer[:size]))
            return
        if count := self.frames.feed(buffer, size):
            self._on_count(count)
        if self.frames.pongs:
            self.sock.sendall(b"".join(self.frames.pongs))
            self.frames.pongs.clear()
        if self.frames.others or self.frames.close:
            self._listen()

    def _upgrade(self, data: bytes) -> None:
        head, found, rest = ((self._head or b"") + data).partition(b"\r\n\r\n")
        if not found:
            self._head = head
            return
        if not head.startswith(b"HTTP/1.1 101 "):
            raise BenchmarkFailed(f"expected the upgrade to a WebSocket, but the server said {head[:200]!r}")
        self._head = None
        self.sock.sendall(self._talk)
        self._talk = b""
        self.frames.feed(rest, len(rest))
        self._listen()

    def _listen(self) -> None:
        for text in self.frames.others:
            message = json.loads(text)
            match message["type"]:
                case "connection_ack":
                    self.sock.sendall(self._subscribe if self._tells_live else self._subscribe + _PING)
                case "ping":
                    self.sock.sendall(client_frame(b'{"type":"pong"}'))
                    self._checkpoint((message.get("payload") or {}).get("cursors") or {})
                case "pong":
                    self._become_live()
                case _:
                    raise BenchmarkFailed(f"expected no such message: {text[:500]!r}")
        self.frames.others.clear()
        if self.frames.close is not None:
            raise BenchmarkFailed(f"expected an open connection, but the server closes it{self._reason()}")

    def _checkpoint(self, cursors: Mapping[str, str]) -> None:
        if cursor := cursors.get(OPERATION_ID):
            self.cursor = cursor
            self._become_live()

    def _become_live(self) -> None:
        if not self.is_live:
            self.is_live = True
            self._on_live(self)
