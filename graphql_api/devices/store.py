"""The store: what is known of every device, and the log of how it came about."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Self, TypeVar

from sqlalchemy import Connection

from graphql_api.access.revocations import Revocation
from graphql_api.devices import log, pruning, queries, revocation_log, stale
from graphql_api.devices.database import Database
from graphql_api.devices.history import history
from graphql_api.devices.model import (
    Administered,
    Change,
    Device,
    DeviceFilter,
    DevicePage,
    Head,
    HistoryPage,
    Position,
    Pruned,
    Recorded,
    Rejected,
    Report,
    Round,
    Snapshot,
    Summary,
)
from graphql_api.devices.recording import Decision, UnknownDevices, administer, decide, mark_stale, refusal
from graphql_api.devices.revocation_log import Place, Revoked
from graphql_api.devices.workers import WorkerStatistics
from graphql_api.moment import Clock, Moment, now

__all__ = ["Store", "StoreStatistics"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """How busy the store is."""

    writes: WorkerStatistics
    reads: WorkerStatistics


class Store:
    """Every school's devices and log, in SQLite or PostgreSQL.

    Guarantees, whatever processes share the database:

    - Each call is one transaction: all of it happens, or nothing. Each reading call sees one moment.
    - A school's versions are 1, 2, 3, ... without holes, in the order of the commits, and their
      timestamps never go back. What is read back is what :meth:`record` returned.
    - Of a school's log the old end alone may be missing, up to its floor; its last change never is.
    - When a writing call has returned, its changes are on disk and every later read sees them.
    - Cancelling a caller is safe: a call that still waits for a thread is not made, a running
      transaction goes on to its end, committing what it records.
    - Nothing queues without bound: beyond 1,000 waiting calls of a kind, calls are refused.

    Of the :class:`~graphql_api.errors.ServiceError` tree, any call may raise Unavailable, and the
    writing ones BadUserInput; anything else is a defect. Ids are text without NUL or lone surrogates,
    which callers check before.
    """

    epoch: str
    """Random, made with the database: tells a cursor of this database from one of another.

    Of the database that answered last, since it may be swapped or restored at any time. Right after a writing call,
    :meth:`heads`, :meth:`snapshot`, :meth:`devices_above`, :meth:`position` or a summary has returned, it is that of
    the transaction that was the call.
    """

    def __init__(self, database: Database, epoch: str, *, unknown_devices: UnknownDevices, clock: Clock) -> None:
        self.epoch = epoch
        self._database = database
        self._unknown_devices = unknown_devices
        self._clock = clock

    @classmethod
    async def open(cls, url: str, *, unknown_devices: UnknownDevices = "create", clock: Clock = now) -> Self:
        """Reach the database, bring it to this version's tables, and read its epoch.

        Raises:
            ValueError: the URL names neither a SQLite file nor a PostgreSQL database.
            UnusableDatabaseError: a file that can't be written, a database of a newer version, and the like.
            Unavailable: the database can't be reached now.
        """
        database = await Database.open(url)
        try:
            epoch = await database.read(queries.epoch)
        except BaseException:
            await database.close()
            raise
        return cls(database, epoch, unknown_devices=unknown_devices, clock=clock)

    async def close(self) -> None:
        """Wait for the transactions that run, end the threads, close the connections.

        Calls that wait, and later ones, are answered with Unavailable. May be repeated.
        """
        await self._database.close()

    async def ping(self) -> None:
        """Return if the database answers; raise Unavailable if it does not."""
        self.epoch = await self._database.read(queries.epoch)

    def statistics(self) -> StoreStatistics:
        """How many calls wait, run, and were refused."""
        return StoreStatistics(*self._database.statistics())

    async def record(
        self,
        school: str,
        reports: Sequence[tuple[int, Report]],
        *,
        skip_invalid: bool = False,
        rejected: Sequence[Rejected] = (),
    ) -> Recorded:
        """Record a round: see :mod:`graphql_api.devices.recording` for the rules.

        Args:
            school: Whose round it is.
            reports: Each with its index in the round as the caller sent it.
            skip_invalid: Record the valid reports though others are invalid.
            rejected: Reports found invalid before; they join those found here, in the order of the indexes.

        Raises:
            BadUserInput: a report is invalid, and ``skip_invalid`` is False: nothing was recorded.
            Unavailable: nothing was recorded; or, as its text says, the answer to the COMMIT was lost.
        """

        def work(connection: Connection) -> tuple[str, Recorded]:
            epoch, head = log.lock(connection, school)
            known = log.known_devices(connection, school, {report.device_id for _, report in reports})
            decision = decide(
                known, reports, school=school, head=head, now=self._clock(), unknown_devices=self._unknown_devices
            )
            invalid = sorted((*decision.rejected, *rejected), key=lambda one: one.index)
            if invalid and not skip_invalid:
                raise refusal(invalid, len(reports) - len(decision.rejected))
            log.append(connection, school, head, known, decision)
            return epoch, Recorded(
                decision.head,
                _round(school, head, decision),
                decision.created,
                decision.unchanged,
                decision.stale,
                decision.ignored,
                tuple(invalid),
            )

        return await self._write(school, work)

    async def retire(self, school: str, device_ids: Collection[str]) -> Administered:
        """Take devices out of service; they ignore reports until restored. Retired ones stay as they are.

        Raises:
            BadUserInput: some of the devices are not known: nothing was done.
            Unavailable: as with :meth:`record`.
        """
        return await self._administer(school, device_ids, "retire")

    async def restore(self, school: str, device_ids: Collection[str]) -> Administered:
        """Take retired devices back into service, as UNKNOWN. Others stay as they are.

        Raises:
            BadUserInput: some of the devices are not known: nothing was done.
            Unavailable: as with :meth:`record`.
        """
        return await self._administer(school, device_ids, "restore")

    async def _administer(
        self, school: str, device_ids: Collection[str], action: Literal["retire", "restore"]
    ) -> Administered:
        folded = tuple(dict.fromkeys(device_ids))

        def work(connection: Connection) -> tuple[str, Administered]:
            epoch, head = log.lock(connection, school)
            known = log.known_devices(connection, school, folded)
            decision = administer(known, folded, action, head=head, now=self._clock())
            log.append(connection, school, head, known, decision)
            known.update((change.device_id, change.device) for change in decision.changes)
            devices = tuple(known[one] for one in folded)
            return epoch, Administered(decision.head, _round(school, head, decision), devices)

        return await self._write(school, work)

    async def mark_stale(self, school: str, *, silent_since: Moment, limit: int) -> Recorded:
        """Make devices UNKNOWN that were last reported at this moment or before, at most ``limit`` of them.

        Looks at them once it holds the school, so of several processes one finds them. ``last_report_at``
        stays: this is no report.

        Raises:
            Unavailable: as with :meth:`record`.
        """

        def work(connection: Connection) -> tuple[str, Recorded]:
            epoch, head = log.lock(connection, school)
            found = stale.stale_devices(connection, school, silent_since, limit)
            known = log.known_devices(connection, school, found)
            devices = [known[device_id] for device_id in found]
            decision = mark_stale(devices, silent_since=silent_since, head=head, now=self._clock())
            log.append(connection, school, head, known, decision)
            return epoch, Recorded(decision.head, _round(school, head, decision))

        return await self._write(school, work)

    async def stale_schools(self, silent_since: Moment) -> list[str]:
        """The schools for which :meth:`mark_stale` has something to do."""
        return await self._database.read(partial(stale.stale_schools, silent_since=silent_since))

    async def prune(self, older_than: Moment, limit: int) -> Pruned:
        """Delete changes recorded before a moment from the old end of the logs: one step, at most ``limit``.

        Each school's floor moves in the same transaction. The last change of a school stays, however old.

        Raises:
            Unavailable: nothing was deleted; or the answer to the COMMIT was lost. Repeating it does no harm.
        """
        return await self._database.write(partial(pruning.prune, older_than=older_than, limit=limit))

    async def revoke(self, subject: str, schools: Collection[str], issued_before: Moment) -> Sequence[Revocation]:
        """Revoke a subject's tokens in these schools; returns the revocations that reach further than known ones.

        Raises:
            LimitExceeded: too many are stored: nothing was recorded.
            Unavailable: as with :meth:`record`.
        """
        return await self._database.write(
            lambda connection: revocation_log.record(connection, subject, schools, issued_before, self._clock())
        )

    async def revoked_after(self, place: Place | None) -> Revoked:
        """What was revoked after a place: everything, where the store does not know it, or there is none yet."""
        return await self._database.read(partial(revocation_log.revoked_after, place=place))

    async def prune_revocations(self, horizon: Moment) -> int:
        """Delete revocations of tokens issued before this moment or earlier; returns how many.

        Raises:
            Unavailable: as with :meth:`prune`.
        """
        return await self._database.write(partial(revocation_log.prune, horizon=horizon))

    async def heads(self, schools: Collection[str]) -> dict[str, Head]:
        """Where the schools' logs end, in one query; schools that never reported are absent."""
        return await self._read(partial(queries.heads, school_ids=schools))

    async def snapshot(self, school: str, filter: DeviceFilter) -> Snapshot:  # noqa: A002 - what it is
        """The devices that the filter lists, in the order of their ids, and the head: one moment, one statement."""
        return await self._read(partial(queries.snapshot, school_id=school, wanted=filter))

    async def changes(self, school: str, *, after: int, limit: int) -> list[Change]:
        """The log behind version ``after``, ascending, at most ``limit``.

        The first one's version is greater than ``after + 1`` where the log no longer reaches back.
        """
        return await self._database.read(partial(queries.changes, school_id=school, after=after, limit=limit))

    async def position(self, school: str, version: int) -> Position:
        """What the log knows of a version: one moment."""
        return await self._read(partial(queries.position, school_id=school, version=version))

    async def devices_above(self, school: str, version: int) -> Snapshot:
        """The devices whose last change came after a version, retired ones too, and the head: one moment."""
        return await self._read(partial(queries.devices_above, school_id=school, version=version))

    async def device(self, school: str, device_id: str) -> Device | None:
        """The device as it stands, retired or not; None if it was never reported."""
        return await self._database.read(partial(queries.one_device, school_id=school, device_id=device_id))

    async def page(
        self,
        school: str,
        filter: DeviceFilter,  # noqa: A002 - what it is
        *,
        first: int,
        after: str | None,
    ) -> DevicePage:
        """The first devices that the filter lists behind the id ``after``, how many it lists, and the head."""
        return await self._database.read(
            partial(queries.page, school_id=school, wanted=filter, first=first, after=after)
        )

    async def history(
        self, school: str, device_id: str, *, since: Moment | None, first: int, before: int | None
    ) -> HistoryPage:
        """One device's changes recorded at ``since`` or later, newest first.

        With ``before``, those that came before its change with that version: none if that one is not in the log.
        """
        return await self._database.read(
            partial(history, school_id=school, device_id=device_id, since=since, first=first, before=before)
        )

    async def summaries(self, schools: Collection[str]) -> dict[str, Summary]:
        """How many devices have which status, the retired ones among them, and the heads: one moment, one query."""
        return await self._read(partial(queries.summaries, school_ids=schools))

    async def summary(self, school: str) -> Summary:
        """As :meth:`summaries`, for one school."""
        return (await self.summaries([school]))[school]

    async def schools(self) -> list[str]:
        """The schools that have reported, sorted by code point."""
        return await self._database.read(queries.schools)

    async def _read(self, work: Callable[[Connection], tuple[str, T]]) -> T:
        self.epoch, found = await self._database.read(work)
        return found

    async def _write(self, school: str, work: Callable[[Connection], tuple[str, T]]) -> T:
        self.epoch, written = await self._database.write(work, school=school)
        return written


def _round(school: str, before: Head, decision: Decision) -> Round | None:
    if not decision.changes:
        return None
    return Round(school, decision.changes, decision.head.last_report_at, before.timestamp)
