"""News: recorded rounds, carried to every process that listens, by the broadcaster library.

The only importer of :mod:`broadcaster`. No promise rests on what this module carries: a message
may be lost, repeated, reordered or late, and the feeds make it good from the log.
"""

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Self

import orjson
from broadcaster import Broadcast
from broadcaster._base import Subscriber

from graphql_api.devices.model import Change, Round, Status
from graphql_api.moment import Moment

__all__ = ["Announcement", "News", "NewsStatistics", "decode", "encode"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a message says: these versions of the school's log are committed."""

    first: int
    last: int
    timestamp: Moment
    last_report_at: Moment | None
    changes: tuple[Change, ...]
    """The changes from first to last, or none where they did not fit the message."""


@dataclass(frozen=True, slots=True)
class NewsStatistics:
    """How the news are doing in this process."""

    channels: int = 0
    """Channels subscribed to."""
    waiting: int = 0
    """Rounds in the outbox."""
    sent: int = 0
    overflowed: int = 0
    """Rounds not broadcast because the outbox was full; listeners read them from the log."""
    failed: int = 0
    """Rounds not broadcast because the backend refused; listeners read them from the log."""


def encode(news: Round) -> str:
    """A round as the text of a message.

    Versions follow each other, so only the first is written.
    """
    changes = [(c.device_id, c.status, c.previous, c.last_seen, c.reported_at, c.timestamp) for c in news.changes]
    timestamp = news.changes[-1].timestamp
    return orjson.dumps([news.first, news.last, timestamp, news.last_report_at, changes]).decode()


def decode(school: str, message: str) -> Announcement:
    """What :func:`encode` wrote.

    Raises:
        ValueError: the message is none of ours.
    """
    try:
        first, last, timestamp, last_report_at, rows = orjson.loads(message)
        changes = tuple(
            Change(school, version, row[0], Status(row[1]), Status(row[2]) if row[2] else None, row[3], row[4], row[5])
            for version, row in enumerate(rows, first)
        )
    except (TypeError, IndexError, ValueError) as error:
        raise ValueError("expected the announcement of a round") from error
    return Announcement(first, last, timestamp, last_report_at, changes)


class News:
    """Announces rounds and listens for those of others; an async context manager that owns its tasks.

    Announcing never waits: rounds go to an outbox of ``outbox_limit`` rounds. When it is full, the
    round is dropped and counted as overflowed.
    """

    def __init__(self, url: str, *, epoch: str, outbox_limit: int) -> None:
        self._broadcast = Broadcast(url)
        self._epoch = epoch
        self._outbox: deque[Round] = deque()
        self._outbox_limit = outbox_limit
        self._waiting = asyncio.Event()
        # The library loses messages when two subscribe to one channel at once, or one leaves while
        # another comes: one at a time, for each channel. An entry goes with its last user.
        self._channels: dict[str, tuple[asyncio.Lock, int]] = {}
        self._statistics = NewsStatistics()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await self._broadcast.connect()
            stack.push_async_callback(self._broadcast.disconnect)
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            sender = tasks.create_task(self._send_announcements(), name="news outbox")
            stack.callback(sender.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def announce(self, news: Round) -> None:
        """Tell all who listen to this school, in this process and in others, soon."""
        if len(self._outbox) >= self._outbox_limit:
            self._statistics = replace(self._statistics, overflowed=self._statistics.overflowed + 1)
            return
        self._outbox.append(news)
        self._waiting.set()

    @asynccontextmanager
    async def listen(self, school: str) -> AsyncIterator[AsyncIterator[Announcement]]:
        """Announcements of this school from now on, for one listener at a time in this process.

        The subscription is in force when the context is entered, and gone when it is left. A second
        listener of the same school waits for the first to leave. Whoever listens must keep reading:
        what has arrived and is not read stays in memory.
        """
        channel = self._channel(school)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._alone(channel))
            subscriber = await self._subscribe(stack, channel)

            async def announcements() -> AsyncIterator[Announcement]:
                while True:
                    event = await subscriber.get()
                    try:
                        yield decode(school, event.message)
                    except ValueError:
                        logger.warning("A message that announces no round came over the broadcaster and was dropped.")

            yield announcements()

    def statistics(self) -> NewsStatistics:
        """A snapshot of the counters."""
        return replace(self._statistics, channels=len(self._channels), waiting=len(self._outbox))

    async def _subscribe(self, stack: AsyncExitStack, channel: str) -> Subscriber:
        try:
            return await stack.enter_async_context(self._broadcast.subscribe(channel))
        except KeyError as masked:
            # The library, cleaning up, trips over what it had not yet set up, and hides what went
            # wrong: the backend's error, or that this task was cancelled.
            raise masked.__context__ or masked from None

    def _channel(self, school: str) -> str:
        # Hashed: PostgreSQL takes at most 63 bytes. The epoch keeps installations apart that
        # share a backend.
        digest = hashlib.blake2s(f"{self._epoch}\n{school}".encode(), digest_size=16)
        return "ds:" + digest.hexdigest()

    @asynccontextmanager
    async def _alone(self, channel: str) -> AsyncIterator[None]:
        lock, users = self._channels.get(channel, (asyncio.Lock(), 0))
        self._channels[channel] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._channels.pop(channel)
            if users > 1:
                self._channels[channel] = (lock, users - 1)

    async def _send_announcements(self) -> None:
        while True:
            await self._waiting.wait()
            while self._outbox:
                await self._send(self._outbox.popleft())
            self._waiting.clear()

    async def _send(self, news: Round) -> None:
        try:
            await self._broadcast.publish(self._channel(news.school), encode(news))
        except Exception:
            self._statistics = replace(self._statistics, failed=self._statistics.failed + 1)
            logger.warning("The broadcaster refused a round; its listeners will read it from the log.", exc_info=True)
        else:
            self._statistics = replace(self._statistics, sent=self._statistics.sent + 1)
