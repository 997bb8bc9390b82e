"""A backend of the broadcaster library whose death is seen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from broadcaster._backends.base import BroadcastBackend
from broadcaster._base import Event

__all__ = ["WatchedBackend"]

PATIENCE = 5.0
"""Seconds that a broker has for anything; the longest that somebody waits for one that hangs."""


class WatchedBackend(BroadcastBackend):
    """Wraps a backend: the first failure, in whatever it does, is the end of it, and nobody waits for it any longer.

    The library would let its listening task die in silence, and its subscribers wait for ever.
    """

    def __init__(self, backend: BroadcastBackend) -> None:
        self._backend = backend
        self._lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._deadlines: set[asyncio.Timeout] = set()

    @property
    def is_lost(self) -> bool:
        """Whether it has ended."""
        return self._lost.done()

    async def lost(self) -> Exception:
        """Wait for the end, and return its reason."""
        return await asyncio.shield(self._lost)

    def give_up(self, reason: Exception) -> None:
        """This is the end, if it has not come yet."""
        if self._lost.done():
            return
        self._lost.set_result(reason)
        for deadline in self._deadlines:
            if not deadline.expired():
                deadline.reschedule(asyncio.get_running_loop().time())

    async def connect(self) -> None:
        """Connect, or fail in time."""
        async with self._in_time():
            await self._backend.connect()

    async def disconnect(self) -> None:
        """Let go of the broker, which may be gone already. Never fails."""
        self.give_up(ConnectionAbortedError("disconnected"))
        try:
            async with asyncio.timeout(PATIENCE):
                await self._backend.disconnect()
        except Exception:  # noqa: S110, BLE001 (a connection that is broken: there is nothing left to close)
            pass

    async def subscribe(self, group: str) -> None:
        """Subscribe, or fail in time."""
        try:
            async with self._in_time():
                await self._backend.subscribe(group)
        except asyncio.CancelledError:
            # It may have got through all the same; the library knows of no subscription, and would never end it.
            with suppress(Exception):
                async with asyncio.timeout(PATIENCE):
                    await self._backend.unsubscribe(group)
            raise

    async def unsubscribe(self, group: str) -> None:
        """Leave a channel. Never fails: the library would not tell the subscriber that it is over."""
        if self._lost.done():
            return
        try:
            async with self._in_time():
                await self._backend.unsubscribe(group)
        except Exception:  # noqa: S110, BLE001 (given up already)
            pass

    async def publish(self, channel: str, message: Any) -> None:
        """Publish, or fail in time."""
        async with self._in_time():
            await self._backend.publish(channel, message)

    async def next_published(self) -> Event:
        """Wait for a message: for ever, once there is an end to it."""
        try:
            return await self._backend.next_published()
        except Exception as error:  # noqa: BLE001 (whatever it is, there will be no more messages)
            self.give_up(error)
            # The library's task waits here to be cancelled: it would throw its error at who disconnects.
            return await asyncio.Event().wait()  # type: ignore[return-value] # it never does

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        if self._lost.done():
            raise ConnectionAbortedError("the broker was lost")
        try:
            async with asyncio.timeout(PATIENCE) as deadline:
                self._deadlines.add(deadline)
                try:
                    yield
                finally:
                    self._deadlines.discard(deadline)
        except Exception as error:
            self.give_up(error)
            raise
