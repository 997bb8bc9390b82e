"""What callers may do with devices: publish, look up, watch. Permissions are checked here.

Every call of a caller names the caller's visibility first; a school that is not the caller's is refused before
the store is asked.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

from graphql_api.access.principal import (
    DEVICES_ADMIN,
    DEVICES_PUBLISH,
    DEVICES_READ,
    Visibility,
    choose_school,
    require_scope,
)
from graphql_api.devices.cursor import Cursor
from graphql_api.devices.feeds import Feeds
from graphql_api.devices.model import (
    Administered,
    Device,
    DeviceFilter,
    DevicePage,
    Head,
    HistoryPage,
    Recorded,
    Rejected,
    Report,
    Round,
    Summary,
)
from graphql_api.devices.news import News
from graphql_api.devices.revoking import Revoking
from graphql_api.devices.school_log import SchoolLog
from graphql_api.devices.store import Store
from graphql_api.devices.watches import DeviceListWatch, EventWatch, SummaryWatch
from graphql_api.errors import BadUserInput
from graphql_api.identifiers import identifier_problem
from graphql_api.moment import Moment

__all__ = ["MAX_REPORTS", "DeviceService"]

MAX_REPORTS = 1_000
"""Reports in one round, or devices in one administrative call, at most."""

T = TypeVar("T", Recorded, Administered)


class DeviceService:
    """The domain's front door. Errors that may leave: those of :mod:`graphql_api.errors`."""

    def __init__(self, *, store: Store, news: News, feeds: Feeds, revoking: Revoking, max_replay: int = 10_000) -> None:
        self._max_replay = max_replay
        self._store = store
        self._news = news
        self._feeds = feeds
        self._revoking = revoking
        self._under_way: set[asyncio.Task[Recorded] | asyncio.Task[Administered]] = set()

    def cursor(self, school: str, head: Head) -> str:
        """The cursor that stands for this head of the school's log."""
        return Cursor(self._store.epoch, school, head.version, head.timestamp).encode()

    async def publish(
        self, visibility: Visibility, school_id: str | None, reports: Sequence[Report], *, skip_invalid: bool = False
    ) -> tuple[str, Recorded]:
        """Record a round of reports, and tell all who listen. Returns the school, and what it came to.

        All or nothing: one transaction. A caller that is cancelled meanwhile gets no answer, but the
        round is recorded and told all the same.

        Raises:
            BadUserInput: too many reports, or, without ``skip_invalid``, an invalid one: nothing is recorded.
            Forbidden: the school is not the caller's, or the scope ``devices:publish`` is missing.
            Unavailable: the store can't be reached; the round may have been recorded.
        """
        require_scope(visibility, DEVICES_PUBLISH)
        school = choose_school(visibility, school_id)
        if len(reports) > MAX_REPORTS:
            raise BadUserInput(
                f"Expected at most {MAX_REPORTS} reports in a round, but got {len(reports)}. "
                "Nothing was recorded; publish them in several rounds."
            )
        accepted = []
        rejected = []
        for index, report in enumerate(reports):
            if problem := identifier_problem("deviceId", report.device_id):
                rejected.append(Rejected(index, report.device_id, problem))
            else:
                accepted.append((index, report))
        recorded = await self._carry_out(
            school, lambda: self._store.record(school, accepted, skip_invalid=skip_invalid, rejected=rejected)
        )
        return school, recorded

    async def retire(
        self, visibility: Visibility, school_id: str | None, device_ids: Sequence[str]
    ) -> Sequence[Device]:
        """Take devices out of service; those that are out already stay so.

        Raises:
            BadUserInput: a device is not known: nothing is done.
            Forbidden: the school is not the caller's, or the scope ``devices:admin`` is missing.
            Unavailable: the store can't be reached; the call may have been carried out.
        """
        return await self._administer(visibility, school_id, device_ids, self._store.retire)

    async def restore(
        self, visibility: Visibility, school_id: str | None, device_ids: Sequence[str]
    ) -> Sequence[Device]:
        """Put retired devices back into service, UNKNOWN until their next report. Raises as :meth:`retire`."""
        return await self._administer(visibility, school_id, device_ids, self._store.restore)

    async def revoke_tokens(self, visibility: Visibility, subject: str, issued_before: Moment | None) -> int:
        """Refuse a subject's tokens issued before a moment: see :meth:`Revoking.revoke`."""
        return await self._revoking.revoke(visibility, subject, issued_before)

    async def mark_stale(self, school: str, *, silent_since: Moment) -> int:
        """Make devices UNKNOWN that nobody has reported since a moment, and tell all who listen.

        The service's own upkeep, asked for by no caller. One round of at most 1,000 devices; returns how many.

        Raises:
            Unavailable: the store can't be reached; the round may have been recorded.
        """
        recorded = await self._carry_out(
            school, lambda: self._store.mark_stale(school, silent_since=silent_since, limit=MAX_REPORTS)
        )
        return recorded.changed

    async def device(self, visibility: Visibility, school_id: str | None, device_id: str) -> Device | None:
        """One device, retired or not, or None."""
        school = self.readable(visibility, school_id)
        return None if identifier_problem("deviceId", device_id) else await self._store.device(school, device_id)

    async def devices(
        self, visibility: Visibility, school_id: str | None, wanted: DeviceFilter, *, first: int, after: str | None
    ) -> tuple[str, DevicePage]:
        """A page of the school's devices in the order of their ids, and the school."""
        school = self.readable(visibility, school_id)
        return school, await self._store.page(school, wanted, first=first, after=after)

    async def history(
        self,
        visibility: Visibility,
        school_id: str | None,
        device_id: str,
        *,
        since: Moment | None,
        first: int,
        before: int | None,
    ) -> HistoryPage:
        """A page of a device's changes, newest first."""
        school = self.readable(visibility, school_id)
        if identifier_problem("deviceId", device_id):
            return HistoryPage((), has_next=False)
        return await self._store.history(school, device_id, since=since, first=first, before=before)

    async def summary(self, visibility: Visibility, school_id: str | None) -> tuple[str, Summary]:
        """How many devices have which status, and the school."""
        school = self.readable(visibility, school_id)
        return school, await self._store.summary(school)

    async def summaries(self, visibility: Visibility, schools: Sequence[str]) -> Mapping[str, Summary]:
        """The summaries of several schools."""
        for school in schools:
            self.readable(visibility, school)
        return await self._store.summaries(schools)

    async def schools(self, visibility: Visibility) -> Sequence[str]:
        """The caller's schools; for one who may see every school, those that have reported."""
        require_scope(visibility, DEVICES_READ)
        return await self._store.schools() if visibility.all_schools else sorted(visibility.schools)

    def watch_events(
        self, visibility: Visibility, school_id: str | None, wanted: DeviceFilter, *, snapshot: bool
    ) -> EventWatch:
        """Every change of the school that passes the filter."""
        school = self.readable(visibility, school_id)
        return EventWatch(school, wanted, snapshot=snapshot, max_replay=self._max_replay)

    def watch_devices(self, visibility: Visibility, school_id: str | None, wanted: DeviceFilter) -> DeviceListWatch:
        """The school's list of devices that match the filter, kept up to date."""
        return DeviceListWatch(self.readable(visibility, school_id), wanted)

    def watch_summary(self, visibility: Visibility, school_id: str | None) -> SummaryWatch:
        """The school's summary, kept up to date."""
        return SummaryWatch(self.readable(visibility, school_id))

    @asynccontextmanager
    async def follow(self, school: str) -> AsyncIterator[SchoolLog]:
        """A school's log, for those who deliver from it what was allowed to be watched: it is up to date when entered.

        Waits while the store can't be reached. Cancelling it disturbs no one else.
        """
        async with self._feeds.join(school) as feed:
            yield SchoolLog(feed, self._store)

    async def finish(self) -> None:
        """Wait for what was begun; called when the service stops taking calls."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def readable(self, visibility: Visibility, school_id: str | None) -> str:
        """The school that is meant, if the caller may read it.

        Raises:
            Forbidden: the school is not the caller's, or the scope ``devices:read`` is missing.
            BadUserInput: as :func:`choose_school`.
        """
        require_scope(visibility, DEVICES_READ)
        return choose_school(visibility, school_id)

    async def _administer(
        self,
        visibility: Visibility,
        school_id: str | None,
        device_ids: Sequence[str],
        act: Callable[[str, Sequence[str]], Awaitable[Administered]],
    ) -> Sequence[Device]:
        require_scope(visibility, DEVICES_ADMIN)
        school = choose_school(visibility, school_id)
        if len(device_ids) > MAX_REPORTS:
            raise BadUserInput(
                f"Expected at most {MAX_REPORTS} device ids, but got {len(device_ids)}. Nothing was changed."
            )
        for device_id in device_ids:
            if problem := identifier_problem("deviceIds", device_id):
                raise BadUserInput(problem)
        return (await self._carry_out(school, lambda: act(school, device_ids))).devices

    async def _carry_out(self, school: str, act: Callable[[], Awaitable[T]]) -> T:
        """Write, then tell: in a task of its own, since a caller that vanishes must not part the two."""

        async def write_and_tell() -> T:
            written = await act()
            self._tell(school, written.head, written.round)
            return written

        task = asyncio.create_task(write_and_tell(), name="write and tell")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    def _tell(self, school: str, head: Head, news: Round | None) -> None:
        self._feeds.note(school, head)
        if news is not None:
            self._news.announce(news)
