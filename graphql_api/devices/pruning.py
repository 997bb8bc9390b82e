"""Pruning the log: the old end of it goes, a few versions at a time, and the floor moves with it.

Every function belongs inside a write transaction.
"""

from sqlalchemy import Connection, bindparam, delete, func, select, text, update

from graphql_api.devices.model import Pruned
from graphql_api.devices.tables import change, school
from graphql_api.moment import Moment

__all__ = ["prune"]

# Any number will do, as long as every version of this service takes the same.
_ADVISORY_LOCK = 0x6465766963655072

# Schools in one step at most: each takes three statements, and is held until the step ends.
_SCHOOLS = 50

_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:lock)")
# A school is looked at by the version at its floor alone, so one that has nothing to prune costs one row.
# The head's own version always stays: it proves the cursor of a client that has seen everything.
_PRUNABLE = (
    select(school.c.school_id, school.c.floor, school.c.head)
    .join(change, (change.c.school_id == school.c.school_id) & (change.c.version == school.c.floor))
    .where(school.c.floor < school.c.head, change.c.timestamp < bindparam("older_than"))
    .order_by(school.c.school_id)
    .limit(_SCHOOLS)
    # A school that is being recorded to comes next time: publishers of the others must not wait for it.
    .with_for_update(of=school, skip_locked=True)
)
# Timestamps never go back, so what is old enough is a prefix.
_LAST_TO_GO = select(func.max(change.c.version)).where(
    change.c.school_id == bindparam("school"),
    change.c.version >= bindparam("floor"),
    change.c.version < bindparam("end"),
    change.c.timestamp < bindparam("older_than"),
)
_MOVE_FLOOR = update(school).where(school.c.school_id == bindparam("school")).values(floor=bindparam("new_floor"))
_DELETE = delete(change).where(change.c.school_id == bindparam("school"), change.c.version < bindparam("new_floor"))


def prune(connection: Connection, older_than: Moment, limit: int) -> Pruned:
    """One step: delete at most ``limit`` changes recorded before a moment, and move the floors."""
    if not _is_ours(connection):
        return Pruned(0, done=True)
    found = connection.execute(_PRUNABLE, {"older_than": older_than}).all()
    room = limit
    for school_id, floor, head in found:
        if not room:
            break
        bounds = {"school": school_id, "floor": floor, "end": min(floor + room, head), "older_than": older_than}
        new_floor = connection.execute(_LAST_TO_GO, bounds).scalar_one() + 1
        connection.execute(_MOVE_FLOOR, {"school": school_id, "new_floor": new_floor})
        connection.execute(_DELETE, {"school": school_id, "new_floor": new_floor})
        room -= new_floor - floor
    return Pruned(limit - room, done=room > 0 and len(found) < _SCHOOLS)


def _is_ours(connection: Connection) -> bool:
    """Whether no other process is at it; held until the transaction ends."""
    if connection.dialect.name == "postgresql":
        return bool(connection.execute(_TRY_LOCK, {"lock": _ADVISORY_LOCK}).scalar_one())
    # SQLite's transaction has locked the file already.
    return True
