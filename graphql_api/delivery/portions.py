"""What one WebSocket client sends is taken in portions, so that a flood of it keeps nobody else waiting.

The event loop hands over up to 256 KB at a time, and uvloop does so up to 32 times in a row: 400,000 of the shortest
messages, which take seconds. A message of the longest kind is hundreds of portions, which cost a few microseconds each.
"""

import asyncio
import time
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

__all__ = ["PORTION", "TURN", "PortionedProtocol"]

PORTION = 1_024
"""Bytes that are taken before it is looked at the clock again."""

TURN = 0.002
"""Seconds after which others have their turn, when there is more."""


class PortionedProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, which takes what has come for 2 ms, and the rest when others have had their turn.

    Meanwhile nothing is read, so that what waits is never more than what came at once. Nothing is taken either while
    reading is paused for another reason (``read_paused``).
    """

    _rest: memoryview = memoryview(b"")
    _turn: asyncio.Handle | None = None

    def take(self, data: bytes) -> None:
        """Take one portion."""
        super().data_received(data)

    def data_received(self, data: bytes) -> None:
        """Some bytes have come; what is still left of others goes first."""
        self._rest = memoryview(bytes(self._rest) + data) if self._rest else memoryview(data)
        if self._turn is None:
            self._take_turn()

    async def receive(self) -> Any:
        """As uvicorn does, which may want to read again now."""
        message = await super().receive()
        if self._rest and not self.read_paused:
            self.go_on()
        return message

    def go_on(self) -> None:
        """Nothing stands in the way of reading any more."""
        if not self._rest:
            self.transport.resume_reading()
        elif self._turn is None:
            self._turn = self.loop.call_soon(self._take_turn)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is taken any more."""
        self.forget()
        super().connection_lost(exc)

    def _take_turn(self) -> None:
        self._turn, is_later = None, self._turn is not None
        until = time.monotonic() + TURN
        while self._rest and not self.read_paused and time.monotonic() < until:
            portion, self._rest = bytes(self._rest[:PORTION]), self._rest[PORTION:]
            self.take(portion)
            if self.transport.is_closing():
                self.forget()
                return
        if self._rest:
            self.transport.pause_reading()
        if not self.read_paused and (self._rest or is_later):
            self.go_on()

    def forget(self) -> None:
        """What is left will not be taken."""
        self._rest = memoryview(b"")
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
