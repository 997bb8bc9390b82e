"""Which devices have not been reported for too long: :func:`~graphql_api.devices.recording.is_stale` as SQL.

No index leads to them, on purpose: one on ``reported_at`` would have to be moved with every report
of every device, to save a scan every now and then. ``docs/design.md`` has the figures.
"""

from sqlalchemy import Connection, bindparam, exists, select

from graphql_api.devices.recording import CAN_GO_STALE
from graphql_api.devices.tables import device, school
from graphql_api.moment import Moment

__all__ = ["stale_devices", "stale_schools"]

_is_stale = device.c.status.in_(sorted(CAN_GO_STALE)) & (device.c.reported_at <= bindparam("silent_since"))

_SCHOOLS = (
    select(school.c.school_id)
    .where(exists().where(device.c.school_id == school.c.school_id, _is_stale))
    .order_by(school.c.school_id)
)
_DEVICES = (
    select(device.c.device_id)
    .where(device.c.school_id == bindparam("school"), _is_stale)
    .order_by(device.c.device_id)
    .limit(bindparam("limit"))
)


def stale_schools(connection: Connection, silent_since: Moment) -> list[str]:
    """The schools that have stale devices, sorted by code point."""
    return list(connection.execute(_SCHOOLS, {"silent_since": silent_since}).scalars())


def stale_devices(connection: Connection, school_id: str, silent_since: Moment, limit: int) -> list[str]:
    """The ids of a school's stale devices, at most ``limit``, sorted by code point."""
    parameters = {"school": school_id, "silent_since": silent_since, "limit": limit}
    return list(connection.execute(_DEVICES, parameters).scalars())
