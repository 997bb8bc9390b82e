"""What ``watch`` knows of a school: events in, rows out. No I/O, no clock."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from graphql_api.devices.model import Status
from graphql_api.moment import Moment, parse_moment

__all__ = ["SEVERITY", "Board", "Row"]

SEVERITY = (
    Status.OFFLINE,
    Status.DEGRADED,
    Status.UNKNOWN,
    Status.MAINTENANCE,
    Status.ONLINE,
    Status.RETIRED,
)
"""The order of the rows: troubles first."""

_DIGITS = re.compile(r"(\d+)")


@dataclass(frozen=True, slots=True)
class Row:
    """A device as it stands."""

    device_id: str
    status: Status
    previous: Status | None
    changed_at: Moment
    last_seen: Moment


class Board:
    """The devices that pass the filter, as of the last event.

    Args:
        statuses: those to show; empty: all but RETIRED.
    """

    def __init__(self, statuses: Collection[Status] = ()) -> None:
        self._shown = frozenset(statuses) or frozenset(Status) - {Status.RETIRED}
        self._rows: dict[str, Row] = {}
        self.school: str | None = None

    def clear(self) -> None:
        """Forget all devices: a snapshot follows."""
        self._rows.clear()

    def apply(self, event: Mapping[str, Any]) -> Row:
        """Take in an event of the subscription, and hand back what it says of its device."""
        previous = event["previousStatus"]
        row = Row(
            event["deviceId"],
            Status(event["status"]),
            Status(previous) if previous else None,
            parse_moment(event["timestamp"]),
            parse_moment(event["lastSeen"]),
        )
        self.school = event["schoolId"]
        if row.status in self._shown:
            self._rows[row.device_id] = row
        else:
            self._rows.pop(row.device_id, None)
        return row

    def rows(self) -> list[Row]:
        """Troubles first, then by the device's name, where 10 comes after 9."""
        return sorted(self._rows.values(), key=lambda row: (SEVERITY.index(row.status), _natural(row.device_id)))

    def counts(self) -> dict[Status, int]:
        """How many devices have each status, in the order of the rows; none has no entry."""
        counted = Counter(row.status for row in self._rows.values())
        return {status: counted[status] for status in SEVERITY if counted[status]}


def _natural(device_id: str) -> list[tuple[int, int, str]]:
    # Texts and numbers can't be compared: each part says which it is. Some digits, like ², are no decimals.
    return [
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in _DIGITS.split(device_id)
    ]
