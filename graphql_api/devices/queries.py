"""The reading statements. Each function is one moment when it runs in a transaction of a reader.

Those that what subscribers are told rests on return the epoch as well, of the same moment: the database may be
another one than it was.
"""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, select
from sqlalchemy.exc import NoResultFound

from graphql_api.devices.direct import Direct
from graphql_api.devices.listed import listed
from graphql_api.devices.model import (
    Change,
    Device,
    DeviceFilter,
    DevicePage,
    Head,
    Position,
    Snapshot,
    Status,
    Summary,
)
from graphql_api.devices.tables import change, device, school, service

__all__ = [
    "CHANGE_COLUMNS",
    "change_of",
    "changes",
    "devices_above",
    "devices_by_id",
    "epoch",
    "head_of",
    "heads",
    "one_device",
    "page",
    "position",
    "schools",
    "snapshot",
    "summaries",
]

_STATUSES = {status.value: status for status in Status}

# In the order of the fields of Head, Device and Change: rows become objects by position.
_HEAD = (school.c.head, school.c.timestamp, school.c.last_report_at)
_DEVICE = (
    device.c.school_id,
    device.c.device_id,
    device.c.status,
    device.c.last_seen,
    device.c.changed_at,
    device.c.reported_at,
    device.c.version,
)
CHANGE_COLUMNS = (
    change.c.school_id,
    change.c.version,
    change.c.device_id,
    change.c.status,
    change.c.previous_status,
    change.c.last_seen,
    change.c.reported_at,
    change.c.timestamp,
)

_this_school = school.c.school_id == bindparam("school")
_of_school = device.c.school_id == bindparam("school")

_ALIVE = select(service.c.epoch)
# Not joined: SQLite would then look through all schools for those that are asked for.
_EPOCH = _ALIVE.scalar_subquery()
_HEAD_OF_ONE = select(*_HEAD).where(_this_school)
_HEADS = select(_EPOCH, school.c.school_id, *_HEAD).where(listed(school.c.school_id, "schools"))
_SCHOOLS = select(school.c.school_id).where(school.c.last_report_at.is_not(None)).order_by(school.c.school_id)
_DEVICES_BY_ID = Direct(select(*_DEVICE).where(_of_school, listed(device.c.device_id, "ids")))
_SUMMARIES = (
    select(_EPOCH, school.c.school_id, *_HEAD, device.c.status, func.count(device.c.device_id))
    .select_from(school.outerjoin(device, device.c.school_id == school.c.school_id))
    .where(listed(school.c.school_id, "schools"))
    .group_by(school.c.school_id, *_HEAD, device.c.status)
)
_POSITION = (
    select(_EPOCH, school.c.head, school.c.floor, change.c.timestamp)
    .select_from(
        school.outerjoin(
            change, and_(change.c.school_id == school.c.school_id, change.c.version == bindparam("version"))
        )
    )
    .where(_this_school)
)
_DEVICES_ABOVE = (
    select(_EPOCH, *_HEAD, *_DEVICE)
    .select_from(
        school.outerjoin(
            device, and_(device.c.school_id == school.c.school_id, device.c.version > bindparam("version"))
        )
    )
    .where(_this_school)
    .order_by(device.c.device_id)
)
_CHANGES = (
    select(*CHANGE_COLUMNS)
    .where(change.c.school_id == bindparam("school"), change.c.version > bindparam("after"))
    .order_by(change.c.version)
    .limit(bindparam("limit"))
)


def epoch(connection: Connection) -> str:
    """Which database this is; also the question whether the store is there."""
    found: str = connection.execute(_ALIVE).scalar_one()
    return found


def head_of(row: Sequence[Any]) -> Head:
    """From the columns head, timestamp, last_report_at."""
    version, timestamp, last_report_at = row
    return Head(version, timestamp, last_report_at)


def heads(connection: Connection, school_ids: Collection[str]) -> tuple[str, dict[str, Head]]:
    """The heads of the schools that have one, in one statement however many are asked for."""
    rows = connection.execute(_HEADS, {"schools": school_ids}).all()
    found = {school_id: Head(version, timestamp, last) for _, school_id, version, timestamp, last in rows}
    return _epoch_with(connection, rows), found


def schools(connection: Connection) -> list[str]:
    """Those that have reported, sorted by code point."""
    return list(connection.execute(_SCHOOLS).scalars())


def devices_by_id(connection: Connection, school_id: str, device_ids: Collection[str]) -> list[Device]:
    """Those of the devices that are known, retired or not, in no particular order."""
    return [_device(row) for row in _DEVICES_BY_ID.rows(connection, {"school": school_id, "ids": device_ids})]


def one_device(connection: Connection, school_id: str, device_id: str) -> Device | None:
    """The device, retired or not."""
    return next(iter(devices_by_id(connection, school_id, [device_id])), None)


def snapshot(connection: Connection, school_id: str, wanted: DeviceFilter) -> tuple[str, Snapshot]:
    """Head and devices in one statement."""
    statement = _snapshot_statement(wanted.device_ids is not None, wanted.statuses is not None)
    rows = connection.execute(statement, {"school": school_id, **_parameters(wanted)}).all()
    return _epoch_with(connection, rows), _snapshot(rows)


def devices_above(connection: Connection, school_id: str, version: int) -> tuple[str, Snapshot]:
    """Head and the devices that changed after a version, retired or not, in one statement."""
    rows = connection.execute(_DEVICES_ABOVE, {"school": school_id, "version": version}).all()
    return _epoch_with(connection, rows), _snapshot(rows)


def position(connection: Connection, school_id: str, version: int) -> tuple[str, Position]:
    """What the log knows of a version, in one statement."""
    rows = connection.execute(_POSITION, {"school": school_id, "version": version}).all()
    return _epoch_with(connection, rows), Position(*rows[0][1:]) if rows else Position(0, 1, None)


def page(connection: Connection, school_id: str, wanted: DeviceFilter, *, first: int, after: str | None) -> DevicePage:
    """The devices whose ids come after, at most ``first``, in the order of their ids."""
    named, selected = wanted.device_ids is not None, wanted.statuses is not None
    parameters = {"school": school_id, **_parameters(wanted)}
    head = connection.execute(_HEAD_OF_ONE, {"school": school_id}).first()
    total = connection.execute(_count_statement(named, selected), parameters).scalar_one()
    bounds = {"after": after or "", "limit": first + 1}
    rows = connection.execute(_page_statement(named, selected), {**parameters, **bounds}).all()
    devices = tuple(_device(row) for row in rows[:first])
    return DevicePage(head_of(head) if head else Head(), devices, total, has_next=len(rows) > first)


def summaries(connection: Connection, school_ids: Collection[str]) -> tuple[str, dict[str, Summary]]:
    """Heads and counts of all these schools, in one statement; empty ones for schools that never reported."""
    heads: dict[str, Head] = {}
    counts: dict[str, dict[Status, int]] = {school_id: {} for school_id in school_ids}
    rows = connection.execute(_SUMMARIES, {"schools": school_ids}).all()
    for _, school_id, version, timestamp, last, status, count in rows:
        heads[school_id] = Head(version, timestamp, last)
        if status is not None:
            counts[school_id][_STATUSES[status]] = count
    found = {school_id: Summary(heads.get(school_id, Head()), counted) for school_id, counted in counts.items()}
    return _epoch_with(connection, rows), found


def changes(connection: Connection, school_id: str, *, after: int, limit: int) -> list[Change]:
    """The log behind a version, ascending."""
    rows = connection.execute(_CHANGES, {"school": school_id, "after": after, "limit": limit}).all()
    return [change_of(row) for row in rows]


def _epoch_with(connection: Connection, rows: Sequence[Any]) -> str:
    """The first column of the rows; where there are none, asked for by another statement of the same moment."""
    found: str | None = rows[0][0] if rows else epoch(connection)
    if found is None:
        raise NoResultFound("the database has no epoch: a dump of it is being loaded")
    return found


def _snapshot(rows: Sequence[Any]) -> Snapshot:
    # A school without devices to show is one row whose device columns are null.
    return Snapshot(
        head_of(rows[0][1:4]) if rows else Head(), tuple(_device(row[4:]) for row in rows if row[4] is not None)
    )


def _device(row: Sequence[Any]) -> Device:
    school_id, device_id, status, last_seen, changed_at, reported_at, version = row
    return Device(school_id, device_id, _STATUSES[status], last_seen, changed_at, reported_at, version)


def change_of(row: Sequence[Any]) -> Change:
    """From the columns of a change."""
    school_id, version, device_id, status, previous, last_seen, reported_at, timestamp = row
    return Change(
        school_id,
        version,
        device_id,
        _STATUSES[status],
        None if previous is None else _STATUSES[previous],
        last_seen,
        reported_at,
        timestamp,
    )


def _conditions(*, named: bool, selected: bool) -> list[ColumnElement[bool]]:
    """What :meth:`DeviceFilter.lists` says, as SQL."""
    conditions: list[ColumnElement[bool]] = []
    if named:
        conditions.append(listed(device.c.device_id, "ids"))
    if selected:
        conditions.append(device.c.status.in_(bindparam("statuses", expanding=True)))
    if not named and not selected:
        conditions.append(device.c.status != Status.RETIRED.value)
    return conditions


def _parameters(wanted: DeviceFilter) -> dict[str, Any]:
    parameters: dict[str, Any] = {}
    if wanted.device_ids is not None:
        parameters["ids"] = wanted.device_ids
    if wanted.statuses is not None:
        parameters["statuses"] = [status.value for status in wanted.statuses]
    return parameters


@cache
def _snapshot_statement(named: bool, selected: bool) -> Select[Any]:  # noqa: FBT001 - a key of the cache
    matching = and_(device.c.school_id == school.c.school_id, *_conditions(named=named, selected=selected))
    joined = school.outerjoin(device, matching)
    return select(_EPOCH, *_HEAD, *_DEVICE).select_from(joined).where(_this_school).order_by(device.c.device_id)


@cache
def _count_statement(named: bool, selected: bool) -> Select[Any]:  # noqa: FBT001 - a key of the cache
    return select(func.count()).select_from(device).where(_of_school, *_conditions(named=named, selected=selected))


@cache
def _page_statement(named: bool, selected: bool) -> Select[Any]:  # noqa: FBT001 - a key of the cache
    # No id is empty, so every id is greater than the empty text.
    behind = device.c.device_id > bindparam("after")
    conditions = _conditions(named=named, selected=selected)
    found = select(*_DEVICE).where(_of_school, behind, *conditions)
    return found.order_by(device.c.device_id).limit(bindparam("limit"))
