"""All feeds of this process: opened with the first listener, closed with the last."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Self

from graphql_api.devices.feed import Feed
from graphql_api.devices.model import Head
from graphql_api.devices.news import News
from graphql_api.devices.recent import RecentChanges, RecentStatistics
from graphql_api.devices.store import Store
from graphql_api.errors import ServiceError

__all__ = ["Feeds", "FeedsStatistics"]

logger = logging.getLogger(__name__)

# Seconds to wait before a failed feed is run again: doubled each time, up to the longest, and
# jittered, so that the feeds of a process do not all come back at once.
_FIRST_RETRY = 0.1
_LONGEST_RETRY = 5.0

# Comparisons that find the store ahead, with no announcement in between, until the broadcaster is held to be dead.
# The first alone proves nothing: the message may be on its way.
_MISSED_LIMIT = 2


@dataclass(frozen=True, slots=True)
class FeedsStatistics:
    """How the feeds of this process are doing."""

    feeds: int
    listeners: int
    gaps: int
    """How often the log had to be read because an announcement was missing, since the start."""
    repeated: int
    """Announcements dropped because they were known, since the start."""
    failures: int
    """How often a feed failed and was run again, since the start."""
    resets: int
    """How often a school's log was found to be another one than before, since the start."""
    recent: RecentStatistics


class Feeds:
    """Opens, tends and closes the feeds; an async context manager that owns their tasks.

    Every ``compare_interval`` seconds the heads of all schools with listeners are compared with the
    store in one query, so that a lost last announcement costs seconds, not silence, and a store that was swapped or
    restored does not go unnoticed; and as soon as a broadcaster that was lost is back.
    """

    def __init__(self, *, store: Store, news: News, compare_interval: float, recent_limit: int) -> None:
        self._store = store
        self._news = news
        self._compare_interval = compare_interval
        self._recent = RecentChanges(recent_limit)
        self._feeds: dict[str, Feed] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._closed = FeedsStatistics(0, 0, 0, 0, 0, 0, RecentStatistics())
        self._failures = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._tasks = await stack.enter_async_context(asyncio.TaskGroup())
            comparison = self._tasks.create_task(self._compare_heads(), name="feed comparison")
            stack.callback(self._stop_all, comparison)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def join(self, school: str) -> AsyncIterator[Feed]:
        """Listen to a school: its feed is running and up to date when the context is entered.

        Waits while the store can't be reached. Cancelling one listener disturbs no other, and the
        last to leave closes the feed, the subscription of its channel included.
        """
        feed = self._feeds.get(school)
        if feed is None:
            feed = self._open(school)
        feed.listeners += 1
        try:
            await feed.ready.wait()
            yield feed
        finally:
            feed.listeners -= 1
            if not feed.listeners:
                self._close(feed)

    def note(self, school: str, head: Head) -> None:
        """A transaction of this process has moved a school's head."""
        if feed := self._feeds.get(school):
            feed.note(head)
            if not self._news.connected:
                # No announcement will come of it.
                feed.read_on()

    def statistics(self) -> FeedsStatistics:
        """A snapshot of the counters."""
        feeds = self._feeds.values()
        return FeedsStatistics(
            feeds=len(self._feeds),
            listeners=sum(feed.listeners for feed in feeds),
            gaps=self._closed.gaps + sum(feed.gaps for feed in feeds),
            repeated=self._closed.repeated + sum(feed.repeated for feed in feeds),
            failures=self._failures,
            resets=self._closed.resets + sum(feed.resets for feed in feeds),
            recent=self._recent.statistics(),
        )

    def _open(self, school: str) -> Feed:
        feed = Feed(school, store=self._store, news=self._news, recent=self._recent)
        self._feeds[school] = feed
        # A task of its own, so that the first listener's disconnect cancels it for nobody else.
        self._running[school] = self._tasks.create_task(self._tend(feed), name="feed")
        return feed

    def _close(self, feed: Feed) -> None:
        del self._feeds[feed.school]
        if task := self._running.pop(feed.school, None):
            task.cancel()
        feed.close()
        closed = self._closed
        self._closed = replace(
            closed,
            gaps=closed.gaps + feed.gaps,
            repeated=closed.repeated + feed.repeated,
            resets=closed.resets + feed.resets,
        )

    async def _tend(self, feed: Feed) -> None:
        loop = asyncio.get_running_loop()
        retry = _FIRST_RETRY
        while self._is_wanted(feed):
            started = loop.time()
            try:
                await feed.run()
            except* ServiceError as errors:
                logger.warning("A feed can't read the store and will try again: %s", errors.exceptions[0])
            except* Exception:  # the owner of the task: it must neither die unseen nor take the others along
                if self._is_wanted(feed):
                    logger.exception("A feed failed and will be run again.")
            if not self._is_wanted(feed):
                break
            self._failures += 1
            if loop.time() - started > _LONGEST_RETRY:
                retry = _FIRST_RETRY
            await asyncio.sleep(retry * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
            retry = min(2 * retry, _LONGEST_RETRY)

    def _is_wanted(self, feed: Feed) -> bool:
        # A cancellation may arrive as something else: a task group prefers its tasks' errors, the
        # broadcaster masks it. Whoever was let go must not go on all the same.
        return self._running.get(feed.school) is asyncio.current_task()

    async def _compare_heads(self) -> None:
        rebuilds = 0
        while True:
            rebuilt = False
            with suppress(TimeoutError):
                async with asyncio.timeout(self._compare_interval):
                    rebuilds = await self._news.until_rebuilt(rebuilds)
                    rebuilt = True
            watched = {feed: feed.known for feed in self._feeds.values() if feed.ready.is_set()}
            if not watched:
                continue
            try:
                heads = await self._store.heads([feed.school for feed in watched])
                for feed, known in watched.items():
                    if self._feeds.get(feed.school) is feed:
                        feed.compare(known, self._store.epoch, heads.get(feed.school, Head()))
                self._look_for_silence(rebuilt=rebuilt)
            except ServiceError as error:
                logger.warning("The heads can't be compared with the store: %s", error)
            except Exception:  # no reason to take all feeds along
                logger.exception("The heads can't be compared with the store.")

    def _look_for_silence(self, *, rebuilt: bool) -> None:
        feeds = self._feeds.values()
        silent = any(feed.missed >= _MISSED_LIMIT for feed in feeds)
        if silent and not rebuilt:
            self._news.suspect()
        if silent or rebuilt:
            # What was missed so far is no fault of the broadcaster that comes now.
            for feed in feeds:
                feed.missed = 0

    def _stop_all(self, comparison: asyncio.Task[None]) -> None:
        comparison.cancel()
        while self._running:
            self._running.popitem()[1].cancel()
