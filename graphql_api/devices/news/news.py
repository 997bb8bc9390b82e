"""News: recorded rounds, carried to every process that listens, by the broadcaster library.

No promise rests on what this module carries: a message may be lost, repeated, reordered or late, and the feeds
make it good from the log.
"""

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Self

from graphql_api.devices.model import Round
from graphql_api.devices.news.announcement import Announcement, decode, encode
from graphql_api.devices.news.broadcasting import Broadcasting
from graphql_api.devices.news.brokers import Broker

__all__ = ["News", "NewsStatistics"]

logger = logging.getLogger(__name__)

# Seconds that the rounds in the outbox have to go out when the service ends.
_LAST_WORDS = 1.0


@dataclass(frozen=True, slots=True)
class NewsStatistics:
    """How the news are doing in this process."""

    channels: int = 0
    """Channels listened to."""
    waiting: int = 0
    """Rounds in the outbox."""
    sent: int = 0
    overflowed: int = 0
    """Rounds not broadcast because the outbox was full; listeners read them from the log."""
    failed: int = 0
    """Rounds not broadcast because the broker was out of reach; listeners read them from the log."""
    rebuilds: int = 0
    """How often the broadcaster was lost and is back."""
    connected: bool = True
    """Whether the broker is in reach."""


class News:
    """Announces rounds and listens for those of others; an async context manager that owns its tasks.

    Announcing never waits: rounds go to an outbox of ``outbox_limit`` rounds. When it is full, the
    round is dropped and counted as overflowed. While the broker is out of reach, rounds are dropped and counted
    as failed.

    ``epoch`` is asked whenever somebody announces or begins to listen: channels are named after the store as it is
    then, so that two installations that share a broker don't hear each other.
    """

    def __init__(self, broker: Broker, *, epoch: Callable[[], str], outbox_limit: int) -> None:
        self._broker = broker
        self._broadcasting = Broadcasting(broker)
        self._epoch = epoch
        self._outbox: deque[tuple[str, Round]] = deque()
        self._outbox_limit = outbox_limit
        self._waiting = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._statistics = NewsStatistics()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._broadcasting)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            sender = tasks.create_task(self._send_announcements(), name="news outbox")
            stack.callback(sender.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        async with self._stack:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LAST_WORDS):
                    await self._idle.wait()

    def announce(self, news: Round) -> None:
        """Tell all who listen to this school, in this process and in others, soon."""
        if len(self._outbox) >= self._outbox_limit:
            self._statistics = replace(self._statistics, overflowed=self._statistics.overflowed + 1)
            return
        self._outbox.append((self._channel(news.school), news))
        self._waiting.set()
        self._idle.clear()

    @asynccontextmanager
    async def listen(self, school: str) -> AsyncIterator[AsyncIterator[Announcement]]:
        """Announcements of this school from now on, for one listener at a time in this process.

        The subscription is in force when the context is entered, and gone when it is left; while the broker is out
        of reach it is not, and what was missed must be learned from the store after :meth:`until_rebuilt`. A second
        listener of the same school waits for the first to leave. Whoever listens must keep reading: what has arrived
        and is not read stays in memory.
        """
        async with self._broadcasting.listen(self._channel(school)) as messages:

            async def announcements() -> AsyncIterator[Announcement]:
                async for message in messages:
                    try:
                        yield decode(school, message)
                    except ValueError:
                        logger.warning("A message that announces no round came over the broadcaster and was dropped.")

            yield announcements()

    @property
    def connected(self) -> bool:
        """Whether the broker is in reach, so that what is announced is likely to be heard."""
        return self._broadcasting.connected

    def suspect(self) -> None:
        """Others recorded rounds, and no news of them came: rebuild the broadcaster, if there is one to blame."""
        if self._broker.shared:
            self._broadcasting.suspect()

    async def until_rebuilt(self, rebuilds: int) -> int:
        """Wait until the broadcaster has been rebuilt more often than this; returns how often."""
        await self._broadcasting.until_rebuilt(rebuilds)
        return self._broadcasting.rebuilds

    def statistics(self) -> NewsStatistics:
        """A snapshot of the counters."""
        return replace(
            self._statistics,
            channels=self._broadcasting.channels,
            waiting=len(self._outbox),
            rebuilds=self._broadcasting.rebuilds,
            connected=self.connected,
        )

    def _channel(self, school: str) -> str:
        # Hashed: PostgreSQL takes at most 63 bytes.
        digest = hashlib.blake2s(f"{self._epoch()}\n{school}".encode(), digest_size=16)
        return "ds:" + digest.hexdigest()

    async def _send_announcements(self) -> None:
        while True:
            await self._waiting.wait()
            while self._outbox:
                await self._send(*self._outbox.popleft())
            self._waiting.clear()
            self._idle.set()

    async def _send(self, channel: str, news: Round) -> None:
        try:
            message = encode(news, limit=self._broker.message_limit)
            await self._broadcasting.publish(channel, message)
        except Exception:  # noqa: BLE001 (the broadcasting tells the log, once for all that is lost)
            self._statistics = replace(self._statistics, failed=self._statistics.failed + 1)
        else:
            self._statistics = replace(self._statistics, sent=self._statistics.sent + 1)
