"""A feed: the log and the news of one school as one ordered stream, each change once.

One feed per school with listeners, per process. It subscribes to the school's news first and reads
the head of the log then, so that nothing can fall between. A version that is not the next one is a
gap and is read from the log; a known one is dropped.

Whatever is taken in must follow the very change that came last: the store may be swapped or restored at any time.
When it was, the feed begins anew, which is a reset.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence

from graphql_api.devices.contradiction import Contradiction, Known, in_head, in_page
from graphql_api.devices.model import Change, Head, Round
from graphql_api.devices.news import Announcement, News
from graphql_api.devices.recent import Backlog, RecentChanges
from graphql_api.devices.store import Store
from graphql_api.devices.unread import Unread
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
    :meth:`after` or from the log. A listener holds a version and asks; nothing is queued for it. With a reset the
    head goes wherever the store's is, and no version of before means anything any more.
    """

    def __init__(self, school: str, *, store: Store, news: News, recent: RecentChanges) -> None:
        self.school = school
        self.epoch = store.epoch
        """Of the store whose log this is."""
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
        self._unread = Unread()
        self._closed = False
        self._moved = asyncio.Event()
        self._behind = asyncio.Event()
        self._suspected = False
        # The highest version that an announcement or a comparison has told of.
        self._told = 0
        self._channel_epoch = self.epoch
        self._channel_is_another = asyncio.Event()

    async def run(self) -> None:
        """Listen to the news until cancelled.

        May be run again after a failure: listeners keep their place, and what came in between is
        read from the log.

        Raises:
            Exception: whatever store and broadcaster raise; the caller decides when to try again.
        """
        while True:
            # News name their channels by what the store's epoch is now.
            epoch = self._store.epoch
            async with self._news.listen(self.school) as announcements:
                known = self.known
                heads = await self._store.heads([self.school])
                if self._store.epoch != epoch:
                    # They will be told of on another channel.
                    continue
                self._channel_epoch = epoch
                self._channel_is_another.clear()
                self._begin(known, epoch, heads.get(self.school, Head()))
                await self._follow(announcements)

    def close(self) -> None:
        """Forget the backlog; the last listener has left."""
        self._closed = True
        self._backlog.clear()

    @property
    def known(self) -> Known:
        """What the store's answer to a question that goes out now is to be compared with."""
        return Known(self.epoch, self.head, self.newest, self.resets)

    def compare(self, known: Known, epoch: str, head: Head) -> None:
        """This was known when the store was asked, and this is what it said: read what is missing, or begin anew."""
        if known.resets != self.resets:
            # It was asked before the log was found to be another one.
            return
        if contradiction := in_head(known, epoch, head, self.timestamp_of):
            self._reset(contradiction, epoch, head)
        else:
            self.catch_up(head)

    def suspect(self) -> None:
        """Something does not fit what was delivered: look at once whether the log is still the same."""
        self._suspected = True
        self._behind.set()

    def note(self, head: Head) -> None:
        """The log reaches this far: learned from a commit of this process, from its head, or by reading from it."""
        if self.ready.is_set() and not self._fits(head):
            self.suspect()
        if head.version > self.head.version:
            self._unread.add(head)
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
        # What this process has recorded itself is to be heard of, too: `newest` knows of it without any news.
        if head.version > max(self.head.version, self._told):
            self.missed += 1
            self._told = head.version
        self.note(head)
        self.read_on()

    def read_on(self) -> None:
        """Read what is known to be in the log, instead of waiting for the news of it."""
        if self.newest.version > self.head.version:
            self._behind.set()

    def hear(self, announcement: Announcement) -> None:
        """Take in an announcement: the next changes, known ones, or a gap."""
        self.missed = 0
        self._told = max(self._told, announcement.last)
        self.note(Head(announcement.last, announcement.timestamp, announcement.last_report_at))
        if announcement.last <= self.head.version:
            self.repeated += 1
        elif announcement.follows(self.head) and not self._unread.contradicts(announcement.changes):
            self._append(announcement.changes)
        else:
            self._behind.set()

    def after(self, version: int, limit: int | None = None) -> list[Change] | None:
        """The changes after this version up to the head, at most ``limit``, or None: read the log."""
        return self._backlog.after(version, limit)

    def timestamp_of(self, version: int) -> Moment | None:
        """Of the change with this version, if it is known."""
        if version == self.head.version:
            return self.head.timestamp
        found = self._backlog.timestamp_of(version)
        return self._unread.timestamp_of(version) if found is None else found

    def fits(self, page: Sequence[Change]) -> bool:
        """Whether these neighbouring changes, read from the log, go together with all that is known of it."""
        first, last = page[0].version, min(page[-1].version, self.head.version)
        # Two logs that agree in one change agree in all before it.
        if last >= first and self.timestamp_of(last) not in {None, page[last - first].timestamp}:
            return False
        return not self._unread.contradicts(page)

    def remember(self, page: Sequence[Change]) -> None:
        """Take changes in that somebody has read from the log, if they reach to those in memory: others will ask.

        The one before those in memory, or the first of those, must be among them, for proof that they go together.
        """
        first = self.head.version + 1 if self._backlog.first is None else self._backlog.first
        missing = tuple(change for change in page if change.version < first)
        if not missing or self._closed or missing[-1].version != first - 1:
            return
        following = page[len(missing)] if len(missing) < len(page) else None
        proven = self.timestamp_of(first - 1) == missing[-1].timestamp
        if proven or (following and self.timestamp_of(first) == following.timestamp):
            self._backlog.prepend(Round(self.school, missing))

    async def until(self, condition: Callable[["Feed"], bool]) -> None:
        """Wait until the condition holds; looked at whenever the head or ``last_report_at`` moves.

        Cancelling it leaves nothing behind.
        """
        while not condition(self):
            await self._moved.wait()

    async def _follow(self, announcements: AsyncIterator[Announcement]) -> None:
        """Take announcements in, and fill the gaps between them, until they come on another channel."""
        async with asyncio.TaskGroup() as tasks:
            filling = tasks.create_task(self._fill_gaps(), name="feed gaps")
            reading = tasks.create_task(self._read(announcements), name="feed news")
            await self._channel_is_another.wait()
            filling.cancel()
            reading.cancel()

    async def _read(self, announcements: AsyncIterator[Announcement]) -> None:
        # It never waits for the store: what piles up would pile up in memory.
        async for announcement in announcements:
            self.hear(announcement)

    def _begin(self, known: Known, epoch: str, head: Head) -> None:
        if self.ready.is_set():
            self.compare(known, epoch, head)
            self.missed = 0
            return
        self.epoch = epoch
        self.head = head
        self.note(head)
        self._unread.read(head.version)
        self.ready.set()
        # What was noted before there was anything to compare it with may be of a log that is no more.
        if self.newest.version == head.version and self.newest.timestamp != head.timestamp:
            self.newest = head

    def _reset(self, contradiction: Contradiction, epoch: str, head: Head) -> None:
        logger.warning(
            "The store's log of a school is not the one from before: %s. Its subscribers begin anew.",
            contradiction.value,
        )
        self.resets += 1
        self.missed = 0
        self.epoch = epoch
        self.head = self.newest = head
        self._told = head.version
        self._backlog.clear()
        self._unread.clear()
        # What was recorded since the head was read may have been heard, and dropped as known.
        self.suspect()
        if epoch != self._channel_epoch:
            self._channel_is_another.set()
        self._wake()

    def _fits(self, head: Head) -> bool:
        """Whether a change that is committed is the one that was delivered under its version, for all that is known."""
        return self._store.epoch == self.epoch and self.timestamp_of(head.version) in {None, head.timestamp}

    def _append(self, changes: tuple[Change, ...]) -> None:
        if self._closed:
            # A page that was on its way when the last listener left.
            return
        unknown = changes[self.head.version + 1 - changes[0].version :]
        news = Round(self.school, unknown, self.newest.last_report_at, before=self.head.timestamp)
        self._backlog.append(news)
        self.head = Head(news.last, unknown[-1].timestamp, self.newest.last_report_at)
        if self.newest.version < self.head.version:
            # A page reaches as far as the log did when it was read, further perhaps than anybody has told of.
            self.newest = self.head
        self._unread.read(self.head.version)
        self._wake()

    def _wake(self) -> None:
        # All who wait now are woken; who comes later waits for the next move.
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _fill_gaps(self) -> None:
        while True:
            await self._behind.wait()
            self._behind.clear()
            if self._suspected:
                self._suspected = False
                await self._look()
            if self.head.version >= self.newest.version:
                continue
            self.gaps += 1
            while self.head.version < self.newest.version:
                await self._read_page()

    async def _look(self) -> None:
        known = self.known
        heads = await self._store.heads([self.school])
        self.compare(known, self._store.epoch, heads.get(self.school, Head()))

    async def _read_page(self) -> None:
        known = self.known
        # The change delivered last comes along, for proof that it is the same log.
        page = await self._store.changes(self.school, after=max(known.head.version - 1, 0), limit=_PAGE)
        if known.resets != self.resets:
            return
        # While the page was read, the news may have gone on.
        contradiction = in_page(page, self.head, whole=len(page) < _PAGE, wanted=known.newest.version)
        if not contradiction and page and self._unread.contradicts(page):
            contradiction = Contradiction.ANOTHER_CHANGE
        if contradiction:
            heads = await self._store.heads([self.school])
            if known.resets == self.resets:
                self._reset(contradiction, self._store.epoch, heads.get(self.school, Head()))
        elif page and page[-1].version > self.head.version:
            self._append(tuple(page))


def _later(one: Moment | None, other: Moment | None) -> Moment | None:
    return one if other is None or (one is not None and one > other) else other


def _much_later(moment: Moment | None, shown: Moment | None) -> bool:
    if moment is None:
        return False
    return shown is None or moment >= shown + _REPORT_STEP
