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

    With ``snapshot``, each listed device as it stands comes first. The same comes in between, for all
    devices whose ids are wanted, when the log was pruned before this stream had read it.
    """

    def __init__(
        self, school: str, wanted: DeviceFilter, *, snapshot: bool = False, feeds: Feeds, store: Store
    ) -> None:
        super().__init__(school, feeds=feeds, store=store)
        self._wanted = wanted
        self._snapshot = snapshot

    def _begin(self) -> None:
        if not self._snapshot:
            self._move(self._feed.newest)

    async def items(self) -> AsyncGenerator[Event, None]:
        """The events."""
        behind: DeviceFilter | None = self._wanted if self._snapshot else None
        while True:
            if behind is not None:
                head, devices = await self._devices(behind)
                for device in devices[:-1]:
                    yield Event(EventKind.SNAPSHOT, device, None, None)
                self._move(head)
                for device in devices[-1:]:
                    yield Event(EventKind.SNAPSHOT, device, None, self.cursor)
            changes = await self._further()
            behind = _everything(self._wanted) if changes is None else None
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
