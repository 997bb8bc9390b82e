"""The writing statements: lock a school's log, read what is known, append.

Every function belongs inside a write transaction that has begun with :func:`lock`.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, bindparam, select, text

from graphql_api.devices.bulk import bulk_insert, bulk_update
from graphql_api.devices.direct import Direct
from graphql_api.devices.model import Change, Device, Head
from graphql_api.devices.queries import devices_by_id, head_of
from graphql_api.devices.recording import Decision
from graphql_api.devices.tables import change, device, school, service

__all__ = ["append", "known_devices", "lock"]

_LOCK = Direct(
    select(select(service.c.epoch).scalar_subquery(), school.c.head, school.c.timestamp, school.c.last_report_at)
    .where(school.c.school_id == bindparam("school"))
    .with_for_update(of=school)
)
_ADD_SCHOOL = text(
    "INSERT INTO school (school_id, head, timestamp, floor) VALUES (:school, 0, 0, 1) ON CONFLICT DO NOTHING"
)
_MOVE_HEAD = bulk_update(school, [school.c.head, school.c.timestamp, school.c.last_report_at])
_ADD_CHANGES = bulk_insert(change)
_ADD_DEVICES = bulk_insert(device)
_MOVE_DEVICES = bulk_update(
    device, [device.c.status, device.c.last_seen, device.c.changed_at, device.c.reported_at, device.c.version]
)
# Only what moves: setting the version to itself would make SQLite touch its index.
_TOUCH_DEVICES = bulk_update(device, [device.c.last_seen, device.c.reported_at])


def lock(connection: Connection, school_id: str) -> tuple[str, Head]:
    """Hold the school until the transaction ends: from here on nobody else moves its log. Returns the epoch, too.

    PostgreSQL locks the row; SQLite's transaction has locked the file already.
    """
    found = _LOCK.rows(connection, {"school": school_id})
    if not found:
        connection.execute(_ADD_SCHOOL, {"school": school_id})
        found = _LOCK.rows(connection, {"school": school_id})
    epoch, *head = found[0]
    return epoch, head_of(head)


def known_devices(connection: Connection, school_id: str, device_ids: Collection[str]) -> dict[str, Device]:
    """Those of the devices that the school knows, by id."""
    return {one.device_id: one for one in devices_by_id(connection, school_id, device_ids)}


def append(
    connection: Connection, school_id: str, before: Head, known: Mapping[str, Device], decision: Decision
) -> None:
    """Write what was decided, when this was the head and the changing devices that are known were these."""
    _ADD_CHANGES.execute(connection, [_log_row(one, known.get(one.device_id)) for one in decision.changes])
    _ADD_DEVICES.execute(connection, [_device_row(one) for one in decision.changes if one.previous is None])
    _MOVE_DEVICES.execute(connection, [_device_move(one) for one in decision.changes if one.previous is not None])
    touched = [(one.last_seen, one.reported_at, school_id, one.device_id) for one in decision.touched]
    _TOUCH_DEVICES.execute(connection, touched)
    if decision.head != before:
        head = decision.head
        _MOVE_HEAD.execute(connection, [(head.version, head.timestamp, head.last_report_at, school_id)])


# Tuples in the order of the columns: see the statements above, and the tables. ``str`` of a status is its value, and
# much cheaper than asking for that.


def _log_row(one: Change, before: Device | None) -> tuple[object, ...]:
    previous = str(one.previous) if one.previous else None
    times = (one.last_seen, one.reported_at, one.timestamp)
    return (one.school, one.version, one.device_id, str(one.status), previous, *times, before.version if before else 0)


def _device_row(one: Change) -> tuple[object, ...]:
    times = (one.last_seen, one.timestamp, one.reported_at)
    return (one.school, one.device_id, str(one.status), *times, one.version)


def _device_move(one: Change) -> tuple[object, ...]:
    times = (one.last_seen, one.timestamp, one.reported_at)
    return (str(one.status), *times, one.version, one.school, one.device_id)
