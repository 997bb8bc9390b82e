"""A school's log as those need it who deliver from it: recent changes from memory, all else from the store."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from graphql_api.devices.cursor import Cursor, furthest
from graphql_api.devices.feed import Feed
from graphql_api.devices.model import Change, DeviceFilter, Head, Snapshot, Summary
from graphql_api.devices.store import Store
from graphql_api.errors import Unavailable

__all__ = ["SchoolLog"]

StateT = TypeVar("StateT", Snapshot, Summary)

# Changes taken at a time: as many as are rendered before the first of them is sent.
_PAGE = 500

# Places in the log that were looked up and are remembered, as many clients come back to the same ones.
_REMEMBERED_PLACES = 10_000


class SchoolLog:
    """One school's log, as long as somebody listens to it.

    Errors that may leave its asynchronous calls: Unavailable. They may be cancelled at any time.
    """

    def __init__(self, feed: Feed, store: Store) -> None:
        self.school = feed.school
        self._feed = feed
        self._store = store
        # Of versions at which cursors were checked. A version's timestamp never changes in one and the same log.
        self._timestamps: OrderedDict[int, int] = OrderedDict()

    @property
    def head(self) -> Head:
        """The last change that has come in order; all up to it can be had from :meth:`changes_after`."""
        return self._feed.head

    @property
    def newest(self) -> Head:
        """The last change known to exist: where a new listener begins."""
        return self._feed.newest

    @property
    def resets(self) -> int:
        """How often the store was found to hold another history than before."""
        return self._feed.resets

    async def until(self, condition: Callable[["SchoolLog"], bool]) -> None:
        """Wait until the condition holds; looked at whenever the head moves, or the log is another one."""
        await self._feed.until(lambda _: condition(self))

    def cursor(self, place: Head) -> str:
        """A place as text, for clients to come back to."""
        return Cursor(self._feed.epoch, self.school, place.version, place.timestamp).encode()

    def remembered_after(self, version: int, limit: int | None = None) -> list[Change] | None:
        """The changes after this version up to the head, at most ``limit``, if memory holds them all."""
        return [] if version >= self.head.version else self._feed.after(version, limit)

    async def changes_after(self, place: Head) -> Sequence[Change] | None:
        """The next changes after this place, at least one.

        None where there are none, or the log no longer holds them, or another change stands at the place.
        """
        known = self._feed.timestamp_of(place.version) if place.version else place.timestamp
        if known == place.timestamp and (changes := self.remembered_after(place.version, _PAGE)):
            return changes
        resets = self._feed.resets
        # The change at the place itself comes along, for proof.
        page = await self._store.changes(self.school, after=max(place.version - 1, 0), limit=_PAGE)
        if resets != self._feed.resets:
            return None
        if page and not self._feed.fits(page):
            # It is another log by now, or the place is one of another log: the feed will know.
            self._feed.suspect()
            raise _another()
        self._feed.remember(page)
        if place.version and page:
            proof, *page = page
            if (proof.version, proof.timestamp) != (place.version, place.timestamp):
                return None
        if not page or page[0].version != place.version + 1:
            return None
        self._reaches(Head(page[-1].version, page[-1].timestamp))
        return page

    async def snapshot(self, wanted: DeviceFilter) -> Snapshot:
        """The devices that the filter lists, and the head: one moment."""
        return await self._of_this_log(self._store.snapshot(self.school, wanted))

    async def devices_above(self, version: int) -> Snapshot:
        """The devices whose last change came after a version, and the head: one moment."""
        return await self._of_this_log(self._store.devices_above(self.school, version))

    async def summary(self) -> Summary:
        """How many devices have which status, and the head: one moment."""
        return await self._of_this_log(self._store.summary(self.school))

    def furthest(self, texts: Sequence[str]) -> Cursor | None:
        """Of cursors that a client has kept the one that is furthest on; None if none is of this log."""
        return furthest(texts, epoch=self._feed.epoch, school=self.school)

    def holds(self, cursor: Cursor) -> bool | None:
        """Whether this log holds the very change that a cursor names: checked, not believed. None: look it up."""
        version = cursor.version
        head = self._feed.head
        if version and version == head.version:
            return head.timestamp == cursor.timestamp
        timestamp = self._timestamps.get(version) if version in self._timestamps else self._feed.timestamp_of(version)
        return None if timestamp is None else timestamp == cursor.timestamp

    async def look_up(self, cursor: Cursor) -> bool:
        """As :meth:`holds`, by asking the store. What it finds is remembered."""
        resets = self._feed.resets
        position = await self._store.position(self.school, cursor.version)
        if self._store.epoch != cursor.epoch or not cursor.is_held(position):
            return False
        if resets != self._feed.resets:
            # Whether it was asked before or after the log became another one is not known.
            raise _another()
        self._reaches(Head(cursor.version, cursor.timestamp))
        self._timestamps[cursor.version] = cursor.timestamp
        if len(self._timestamps) > _REMEMBERED_PLACES:
            self._timestamps.popitem(last=False)
        return True

    def forget(self) -> None:
        """The log is another one: what was looked up holds no longer."""
        self._timestamps.clear()

    async def _of_this_log(self, reading: Awaitable[StateT]) -> StateT:
        # Who was told of a later state, or of that of another log, must not be told of this one.
        feed = self._feed
        resets, delivered = feed.resets, feed.head.version
        read = await reading
        if resets != feed.resets:
            raise _another()
        known = feed.timestamp_of(read.head.version)
        if self._store.epoch != feed.epoch or read.head.version < delivered or known not in {None, read.head.timestamp}:
            feed.suspect()
            raise _another()
        # Of when it was last reported, too, which nobody announces where nothing has changed.
        feed.note(read.head)
        return read

    def _reaches(self, place: Head) -> None:
        # Somebody is about to stand there: the feed is to notice when the log comes to hold something else there.
        if place.version > self._feed.head.version:
            self._feed.note(place)


def _another() -> Unavailable:
    return Unavailable("The store is not the one that was read from before.")
