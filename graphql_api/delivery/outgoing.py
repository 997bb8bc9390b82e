"""Texts on their way to one WebSocket: written by anyone, sent by one task, in order."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["Outgoing", "Send"]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# Texts that may wait to be sent before those who write are made to wait too. Small: what a slow
# client has not got yet stays in the log, not here.
_ENOUGH = 16


class Outgoing:
    """Sends what is written, and something to keep the connection alive at every interval.

    Whoever writes a stream of texts awaits :meth:`room` before each, so that what waits here is
    bounded by the number of writers.
    """

    def __init__(self, send: Send, *, keep_alive: float, keep_alive_text: Callable[[], str | None]) -> None:
        self._send = send
        self._keep_alive = keep_alive
        self._keep_alive_text = keep_alive_text
        self._pending: deque[str] = deque()
        self._written = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def write(self, text: str) -> None:
        """Have a text sent after all that was written before."""
        self._pending.append(text)
        self._written.set()
        if len(self._pending) >= _ENOUGH:
            self._room.clear()

    async def room(self) -> None:
        """Wait until not much is waiting to be sent."""
        await self._room.wait()

    async def run(self) -> None:
        """Send until cancelled.

        Raises:
            OSError: the client is gone.
        """
        loop = asyncio.get_running_loop()
        next_keep_alive = loop.time() + self._keep_alive
        while True:
            try:
                async with asyncio.timeout_at(next_keep_alive):
                    await self._written.wait()
            except TimeoutError:
                next_keep_alive = loop.time() + self._keep_alive
                if (text := self._keep_alive_text()) is not None:
                    self.write(text)
            while self._pending:
                await self._send({"type": "websocket.send", "text": self._pending.popleft()})
                if len(self._pending) < _ENOUGH:
                    self._room.set()
            self._written.clear()
