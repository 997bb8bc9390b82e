"""A feed: the log and the news of one school as one ordered stream, each change once.

One feed per school with listeners, per process. It subscribes to the school's news first and reads
the head of the log then, so that nothing can fall between. A version that is not the next one is a
gap and is read from the log; a known one is dropped.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from graphql_api.devices.model import Change, Head, Round
from graphql_api.devices.news import Announcement, News
from graphql_api.devices.recent import Backlog, RecentChanges
from graphql_api.devices.store import Store
from graphql_api.moment import SECOND, Moment

__all__ = ["Feed"]

logger = logging.getLogger(__name__)

# By how much ``last_report_at`` must grow to wake listeners when nothing else has changed.
_REPORT_STEP = SECOND

# Changes read from the log at a time.
_PAGE = 1_000


class Feed:
    """What is known of one school's stream, and those who wait for more of it.

    ``head`` moves only forward, one version after the other, and everything up to it can be had from
    :meth:`after` or from the log. A listener holds a version and asks; nothing is queued for it.
    """

    def __init__(self, school: str, *, store: Store, news: News, recent: RecentChanges) -> None:
        self.school = school
        self.listeners = 0
        self.head = Head()
        """The last change delivered in order."""
        self.newest = Head()
        """The last change known to exist: where a new listener begins."""
        self.gaps = 0
        """How often a version was not the next one and the log was read."""
        self.repeated = 0
        """Announcements dropped because their changes were known."""
        self.missed = 0
        """How often the store was found to be ahead since the last announcement was heard."""
        self.resets = 0
        """How often the store was found to hold another history than the one delivered."""
        self.ready = asyncio.Event()
        self._store = store
        self._news = news
        self._backlog = Backlog(recent)
        self._closed = False
        self._moved = asyncio.Event()
        self._behind = asyncio.Event()

    async def run(self) -> None:
        """Listen to the news until cancelled.

        May be run again after a failure: listeners keep their place, and what came in between is
        read from the log.

        Raises:
            Exception: whatever store and broadcaster raise; the caller decides when to try again.
        """
        async with self._news.listen(self.school) as announcements:
            heads = await self._store.heads([self.school])
            self._begin(heads.get(self.school, Head()))
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._fill_gaps(), name="feed gaps")
                # Reading never waits for the store: what piles up would pile up in memory.
                async for announcement in announcements:
                    self.hear(announcement)

    def close(self) -> None:
        """Forget the backlog; the last listener has left."""
        self._closed = True
        self._backlog.clear()

    def note(self, head: Head) -> None:
        """The log reaches this far: learned from a commit of this process, or by comparing heads."""
        known = self.newest
        further = head if head.version > known.version else known
        self.newest = Head(further.version, further.timestamp, _later(head.last_report_at, known.last_report_at))
        # With changes on their way, listeners are told of both at once.
        if self.newest.version == self.head.version and _much_later(
            self.newest.last_report_at, self.head.last_report_at
        ):
            self.head = self.newest
            self._wake()

    def catch_up(self, head: Head) -> None:
        """The store is known to be at this head, whatever the news say: read what is missing."""
        if head.version > self.newest.version:
            self.missed += 1
        self.note(head)
        if self.newest.version > self.head.version:
            self._behind.set()

    def hear(self, announcement: Announcement) -> None:
        """Take in an announcement: the next changes, known ones, or a gap."""
        self.missed = 0
        self.note(Head(announcement.last, announcement.timestamp, announcement.last_report_at))
        if announcement.last <= self.head.version:
            self.repeated += 1
        elif announcement.changes and announcement.first <= self.head.version + 1:
            self._append(announcement.changes)
        else:
            self._behind.set()

    def after(self, version: int, limit: int | None = None) -> list[Change] | None:
        """The changes after this version up to the head, at most ``limit``, or None: read the log."""
        return self._backlog.after(version, limit)

    def timestamp_of(self, version: int) -> Moment | None:
        """Of the change with this version, if it is in memory."""
        change = self._backlog.find(version)
        return change.timestamp if change else None

    def remember(self, page: Sequence[Change]) -> None:
        """Take changes in that somebody has read from the log, if they reach up to those in memory: others will ask."""
        first = self._backlog.first
        if first is None:
            first = self.head.version + 1
        missing = tuple(change for change in page if change.version < first)
        if missing and not self._closed and missing[-1].version == first - 1:
            self._backlog.prepend(Round(self.school, missing))

    async def until(self, condition: Callable[["Feed"], bool]) -> None:
        """Wait until the condition holds; looked at whenever the head or ``last_report_at`` moves.

        Cancelling it leaves nothing behind.
        """
        while not condition(self):
            await self._moved.wait()

    def _begin(self, head: Head) -> None:
        if self.ready.is_set():
            self.catch_up(head)
            self.missed = 0
            return
        self.head = head
        self.note(head)
        self.ready.set()

    def _append(self, changes: tuple[Change, ...]) -> None:
        if self._closed:
            # A page that was on its way when the last listener left.
            return
        known = self.head.version + 1 - changes[0].version
        if known < 0:
            # Pruned before it was read. A stream that needs it finds the hole in the log.
            self._backlog.clear()
        news = Round(self.school, changes[max(known, 0) :], self.newest.last_report_at)
        self._backlog.append(news)
        self.head = Head(news.last, changes[-1].timestamp, self.newest.last_report_at)
        self._wake()

    def _wake(self) -> None:
        # All who wait now are woken; who comes later waits for the next move.
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _fill_gaps(self) -> None:
        while True:
            await self._behind.wait()
            self._behind.clear()
            if self.head.version >= self.newest.version:
                continue
            self.gaps += 1
            while self.head.version < self.newest.version:
                await self._read_page()

    async def _read_page(self) -> None:
        wanted = self.newest.version
        page = await self._store.changes(self.school, after=self.head.version, limit=_PAGE)
        # While the page was read, the news may have gone on.
        unknown = tuple(change for change in page if change.version > self.head.version)
        if unknown:
            self._append(unknown)
        elif not page and self.head.version < wanted == self.newest.version:
            logger.warning("A version was announced that the log does not hold; the announcement was dropped.")
            self.newest = self.head


def _later(one: Moment | None, other: Moment | None) -> Moment | None:
    return one if other is None or (one is not None and one > other) else other


def _much_later(moment: Moment | None, shown: Moment | None) -> bool:
    if moment is None:
        return False
    return shown is None or moment >= shown + _REPORT_STEP
