"""Events: every change, in order, each once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from graphql_api.devices.model import Change, Device, DeviceFilter, Head, Status
from graphql_api.devices.school_log import SchoolLog
from graphql_api.devices.watches.watch import Fresh, Item, Step, Watch

__all__ = ["Event", "EventKind", "EventWatch"]


class EventKind(StrEnum):
    """Whether an event is news or tells how things stand."""

    CHANGE = "CHANGE"
    SNAPSHOT = "SNAPSHOT"


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a device's status, or its status as it stands."""

    kind: EventKind
    device: Device
    previous: Status | None
    cursor: str | None
    """Resume from here; None inside a snapshot, whose rest would be lost."""


class EventWatch(Watch[Event]):
    """Every change that passes the filter, each once, in order.

    With ``snapshot``, each listed device as it stands comes first. The same comes for all devices
    whose ids are wanted, retired ones too, to one who is not recovered: whose cursor the log can't go on
    from, who comes back more than ``max_replay`` changes behind it, or whose next change was pruned.
    """

    def __init__(self, school: str, wanted: DeviceFilter, *, snapshot: bool, max_replay: int) -> None:
        super().__init__(school, wanted)
        self._snapshot = snapshot
        self._max_replay = max_replay

    def begin(self, log: SchoolLog) -> Head | Fresh:
        """After the last change known to exist, unless a snapshot is asked for."""
        return Fresh.ASKED if self._snapshot else log.newest

    def resume(self, log: SchoolLog, place: Head | None) -> Head | Fresh:
        """Where it was, if that is near enough; a snapshot would tell less than what was missed."""
        if place is None or log.newest.version - place.version > self._max_replay:
            return Fresh.LOST
        return place

    def live(self, log: SchoolLog, changes: Sequence[Change], head: Head) -> list[Item[Event]]:  # noqa: ARG002 - each has a place of its own
        """One event for each change that passes."""
        passes = self.wanted.passes
        return [_news(log, change) for change in changes if passes(change)]

    async def behind(self, log: SchoolLog, standing: Head | Fresh) -> Step[Event]:
        """The next changes, or a snapshot where there is no place to go on from."""
        if isinstance(standing, Head):
            changes = await log.changes_after(standing)
            if changes:
                last = changes[-1]
                place = Head(last.version, last.timestamp)
                return Step(self.live(log, changes, place), place)
            standing = Fresh.LOST
        wanted = self.wanted if standing is Fresh.ASKED else _everything(self.wanted)
        snapshot = await log.snapshot(wanted)
        return Step(list(_as_they_stand(log, snapshot.head, snapshot.devices)), snapshot.head)


def _news(log: SchoolLog, change: Change) -> Item[Event]:
    place = Head(change.version, change.timestamp)
    cursor = log.cursor(place)
    return Item(Event(EventKind.CHANGE, change.device, change.previous, cursor), place, cursor, change.version)


def _as_they_stand(log: SchoolLog, head: Head, devices: Sequence[Device]) -> Iterable[Item[Event]]:
    for device in devices[:-1]:
        yield Item(Event(EventKind.SNAPSHOT, device, None, None), None, None)
    for device in devices[-1:]:
        cursor = log.cursor(head)
        yield Item(Event(EventKind.SNAPSHOT, device, None, cursor), head, cursor)


def _everything(wanted: DeviceFilter) -> DeviceFilter:
    # Which status a device had when the log was lost is unknown, so the statuses asked for are left
    # out of account, and retired devices are in.
    return DeviceFilter(wanted.device_ids, frozenset(Status))
