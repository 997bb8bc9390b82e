"""The loop of the load: one thread that waits for all sockets, and hands each what it is for."""

import select
import socket
import time
from collections.abc import Callable
from typing import Protocol

from benchmarks.failure import BenchmarkFailed

__all__ = ["Handler", "Load"]

# Bytes of one read: several of the biggest writes of a server.
_BUFFER = 256 * 1024


class Handler(Protocol):
    """Whoever has a socket in the loop."""

    @property
    def sock(self) -> socket.socket:
        """The socket."""

    def on_readable(self, buffer: bytearray) -> None:
        """Something has come: read it, with the buffer for whoever wants one. It belongs to the loop."""


class Load:
    """All sockets of the load; not thread-safe."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[bytearray], None]] = {}
        self._buffer = bytearray(_BUFFER)

    def add(self, handler: Handler) -> None:
        """Have the handler called whenever its socket can be read."""
        fd = handler.sock.fileno()
        self._handlers[fd] = handler.on_readable
        self._epoll.register(fd, select.EPOLLIN)

    def remove(self, handler: Handler) -> None:
        """Forget the handler, whose socket is still open."""
        fd = handler.sock.fileno()
        del self._handlers[fd]
        self._epoll.unregister(fd)

    def close(self) -> None:
        """Let go of what the loop itself holds; the sockets stay as they are."""
        self._epoll.close()

    def run_until(self, condition: Callable[[], bool], *, timeout: float, waiting_for: str) -> None:
        """Read until the condition holds.

        Args:
            condition: asked after each look at the sockets.
            timeout: seconds, after which it has failed.
            waiting_for: says what did not come, in the error.

        Raises:
            BenchmarkFailed: it did not come to that in time.
        """
        deadline = time.monotonic() + timeout
        handlers, buffer, poll = self._handlers, self._buffer, self._epoll.poll
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                raise BenchmarkFailed(f"expected within {timeout:g} s: {waiting_for}; it has not come")
            for fd, _ in poll(left, 1024):
                if handler := handlers.get(fd):
                    handler(buffer)

    def run_for(self, seconds: float, *, unless: Callable[[], bool] = lambda: False) -> None:
        """Read for a while, or until the condition holds."""
        deadline = time.monotonic() + seconds
        handlers, buffer, poll = self._handlers, self._buffer, self._epoll.poll
        while not unless() and (left := deadline - time.monotonic()) > 0:
            for fd, _ in poll(left, 1024):
                if handler := handlers.get(fd):
                    handler(buffer)
