"""The nouns of the domain, immutable and without I/O.

Those that come by the thousand are tuples with names, which are made four times as fast as frozen data classes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from graphql_api.moment import Moment

__all__ = [
    "Administered",
    "Change",
    "Device",
    "DeviceFilter",
    "DevicePage",
    "Head",
    "HistoryPage",
    "Position",
    "Pruned",
    "Recorded",
    "Rejected",
    "Report",
    "Round",
    "Snapshot",
    "Status",
    "Summary",
]


_NEVER = Moment(0)


class Status(StrEnum):
    """How a device is doing, as its health checker last reported it."""

    ONLINE = "ONLINE"
    DEGRADED = "DEGRADED"
    OFFLINE = "OFFLINE"
    MAINTENANCE = "MAINTENANCE"
    UNKNOWN = "UNKNOWN"
    RETIRED = "RETIRED"


class Report(NamedTuple):
    """What a health checker saw of one device; what it left out is None."""

    device_id: str
    status: Status
    observed_at: Moment | None = None
    last_seen: Moment | None = None


class Device(NamedTuple):
    """A device as it stands: the version is that of its last change in the school's log."""

    school: str
    device_id: str
    status: Status
    last_seen: Moment
    changed_at: Moment
    reported_at: Moment
    version: int


class Change(NamedTuple):
    """One entry of a school's log: versions are 1, 2, 3, ... without holes."""

    school: str
    version: int
    device_id: str
    status: Status
    previous: Status | None
    last_seen: Moment
    reported_at: Moment
    timestamp: Moment

    @property
    def device(self) -> Device:
        """The device as of this change."""
        return Device(
            self.school, self.device_id, self.status, self.last_seen, self.timestamp, self.reported_at, self.version
        )


@dataclass(frozen=True, slots=True)
class Head:
    """Where a school's log ends. A school that never reported is at version 0, timestamp 0."""

    version: int = 0
    timestamp: Moment = _NEVER
    """Of the change with that version."""
    last_report_at: Moment | None = None
    """When a round of reports last arrived, by the service's clock."""


@dataclass(frozen=True, slots=True)
class Round:
    """Neighbouring changes of one school, recorded in one transaction; never empty."""

    school: str
    changes: tuple[Change, ...]
    last_report_at: Moment | None = None
    """As in :class:`Head`, after this round; None where it isn't known (read back from the log)."""
    before: Moment | None = None
    """The timestamp of the change before the first; None where it isn't known. It tells one history from another."""

    @property
    def first(self) -> int:
        """The version of the first change."""
        return self.changes[0].version

    @property
    def last(self) -> int:
        """The version of the last change."""
        return self.changes[-1].version


@dataclass(frozen=True, slots=True)
class Rejected:
    """A report that was not recorded, and why."""

    index: int
    device_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """What recording a round of reports came to."""

    head: Head
    round: Round | None
    """The changes, if there were any."""
    created: int = 0
    unchanged: int = 0
    stale: int = 0
    ignored: int = 0
    rejected: tuple[Rejected, ...] = ()

    @property
    def changed(self) -> int:
        """How many statuses differed from the last one known, first reports included."""
        return len(self.round.changes) if self.round else 0


@dataclass(frozen=True, slots=True)
class Administered:
    """What retiring or restoring devices came to."""

    head: Head
    round: Round | None
    """The changes, if there were any."""
    devices: tuple[Device, ...]
    """As they now stand, in the order asked for, each once."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The devices of a school, in the order of their ids, and the head of its log at that same moment."""

    head: Head
    devices: tuple[Device, ...]


@dataclass(frozen=True, slots=True)
class Position:
    """What a school's log knows of one version: where it ends and begins, and the version's timestamp."""

    head: int
    floor: int
    """The lowest version that is still held."""
    timestamp: Moment | None
    """None where the log does not hold the version."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one step of pruning came to."""

    changes: int
    """How many were deleted, of all schools."""
    done: bool
    """Nothing that old is left but in schools that are just being written to, or another process is at it."""


@dataclass(frozen=True, slots=True)
class DevicePage:
    """Some devices of a list, in the order of their ids, and the head at that same moment."""

    head: Head
    devices: tuple[Device, ...]
    total: int
    """How many devices the whole list has."""
    has_next: bool


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Some changes of one device, newest first."""

    changes: tuple[Change, ...]
    has_next: bool


@dataclass(frozen=True, slots=True)
class Summary:
    """How many devices have which status (absent means none), and the head at that same moment."""

    head: Head
    counts: Mapping[Status, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeviceFilter:
    """Which devices a caller wants; None means all. Hashable, so that equal filters can share work."""

    device_ids: frozenset[str] | None = None
    statuses: frozenset[Status] | None = None

    def lists(self, device_id: str, status: Status) -> bool:
        """Whether a list of devices holds this one.

        Retired devices are left out unless they are asked for by status or by id.
        """
        if self.device_ids is not None and device_id not in self.device_ids:
            return False
        if self.statuses is not None:
            return status in self.statuses
        return status is not Status.RETIRED or self.device_ids is not None

    def passes(self, change: Change) -> bool:
        """Whether an event stream holds this change: its new or its previous status is asked for."""
        if self.device_ids is not None and change.device_id not in self.device_ids:
            return False
        if self.statuses is None:
            return True
        return change.status in self.statuses or change.previous in self.statuses
