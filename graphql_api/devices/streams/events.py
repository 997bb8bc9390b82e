"""The stream of events: every change, in order, each once."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum

from graphql_api.devices.feeds import Feeds
from graphql_api.devices.model import Device, DeviceFilter, Head, Status
from graphql_api.devices.store import Store
from graphql_api.devices.streams.stream import Stream

__all__ = ["Event", "EventKind", "EventStream"]


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


class EventStream(Stream[Event]):
    """Every change that passes the filter, each once, in order.

    With ``snapshot``, each listed device as it stands comes first. The same comes for all devices
    whose ids are wanted, retired ones too, to one who is not recovered: whose cursor the log can't go on
    from, who is more than ``max_replay`` changes behind it, or whose next change was pruned.
    """

    def __init__(
        self,
        school: str,
        wanted: DeviceFilter,
        *,
        snapshot: bool = False,
        max_replay: int,
        feeds: Feeds,
        store: Store,
    ) -> None:
        super().__init__(school, feeds=feeds, store=store)
        self._wanted = wanted
        self._max_replay = max_replay
        # Which devices to tell the state of before the changes go on.
        self._behind = wanted if snapshot else None

    def _begin(self) -> None:
        if self._behind is None:
            self._move(self._feed.newest)

    def _resume(self, place: Head | None) -> None:
        if place is None:
            self._behind = _everything(self._wanted)
        else:
            self._behind = None
            self._move(place)

    def _is_near(self, changes: int) -> bool:
        return changes <= self._max_replay

    async def items(self) -> AsyncGenerator[Event, None]:
        """The events."""
        while True:
            if self._behind is not None:
                head, devices = await self._devices(self._behind)
                for device in devices[:-1]:
                    yield Event(EventKind.SNAPSHOT, device, None, None)
                self._move(head)
                for device in devices[-1:]:
                    yield Event(EventKind.SNAPSHOT, device, None, self.cursor)
            changes = await self._further()
            self._behind = _everything(self._wanted) if changes is None else None
            for change in changes or ():
                self._move(Head(change.version, change.timestamp))
                if self._wanted.passes(change):
                    yield Event(EventKind.CHANGE, change.device, change.previous, self.cursor)

    async def _devices(self, wanted: DeviceFilter) -> tuple[Head, tuple[Device, ...]]:
        snapshot = await self._ask(lambda: self._store.snapshot(self.school, wanted))
        self._move(self._head, resumable=False)
        return snapshot.head, snapshot.devices


def _everything(wanted: DeviceFilter) -> DeviceFilter:
    # Which status a device had when the log was lost is unknown, so the statuses asked for are left
    # out of account, and retired devices are in.
    return DeviceFilter(wanted.device_ids, frozenset(Status))
