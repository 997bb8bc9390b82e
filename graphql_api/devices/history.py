"""One device's changes: a chain, from the newest on, each with the version of the one before."""

from sqlalchemy import Connection, bindparam, literal, select

from graphql_api.devices.model import HistoryPage
from graphql_api.devices.queries import CHANGE_COLUMNS, change_of
from graphql_api.devices.tables import change, device
from graphql_api.moment import Moment

__all__ = ["history"]

_NEWEST_OF_DEVICE = select(device.c.version).where(
    device.c.school_id == bindparam("school"), device.c.device_id == bindparam("device")
)
_BEFORE_THAT = select(change.c.previous_version).where(
    change.c.school_id == bindparam("school"),
    change.c.version == bindparam("before"),
    change.c.device_id == bindparam("device"),
)
_newest = (
    select(*CHANGE_COLUMNS, change.c.previous_version, literal(1).label("number"))
    .where(change.c.school_id == bindparam("school"), change.c.version == bindparam("newest"))
    .cte("chain", recursive=True)
)
_chain = _newest.union_all(
    select(*CHANGE_COLUMNS, change.c.previous_version, _newest.c.number + 1)
    .join(_newest, change.c.version == _newest.c.previous_version)
    .where(change.c.school_id == bindparam("school"), _newest.c.number < bindparam("limit"))
)
_HISTORY = select(*(_chain.c[column.name] for column in CHANGE_COLUMNS)).order_by(_chain.c.version.desc())


def history(
    connection: Connection, school_id: str, device_id: str, *, since: Moment | None, first: int, before: int | None
) -> HistoryPage:
    """One device's changes before that of a version, newest first; none where that one is not in the log."""
    start, which = (_NEWEST_OF_DEVICE, {}) if before is None else (_BEFORE_THAT, {"before": before})
    newest = connection.execute(start, {"school": school_id, "device": device_id, **which}).scalar()
    rows = connection.execute(_HISTORY, {"school": school_id, "newest": newest, "limit": first + 1})
    # Timestamps never go back, so what is recent enough comes first.
    found = [one for one in map(change_of, rows) if since is None or one.timestamp >= since]
    return HistoryPage(tuple(found[:first]), has_next=len(found) > first)
