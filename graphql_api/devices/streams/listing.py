"""The stream of a list of devices: whole at first, then what differs."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from graphql_api.devices.feeds import Feeds
from graphql_api.devices.model import Change, Device, DeviceFilter, Head, Status
from graphql_api.devices.store import Store
from graphql_api.devices.streams.stream import Stream

__all__ = ["LIST_UPDATE_LIMIT", "DeviceListStream", "DeviceListUpdate"]

LIST_UPDATE_LIMIT = 500
"""Devices in one :class:`DeviceListUpdate` at most."""


@dataclass(frozen=True, slots=True)
class DeviceListUpdate:
    """What differs in a list of devices since the update before."""

    school: str
    reset: bool
    changed: Sequence[Device]
    removed: Sequence[str]
    """Device ids of those that have left the list."""
    complete: bool


class DeviceListStream(Stream[DeviceListUpdate]):
    """The list of devices that match the filter, kept up to date.

    One update per round that touches the list, or one for several rounds that came in between;
    more than one where it would be too long.
    """

    def __init__(self, school: str, wanted: DeviceFilter, *, feeds: Feeds, store: Store) -> None:
        super().__init__(school, feeds=feeds, store=store)
        self._wanted = wanted
        self._recovered = False

    def _resume(self, place: Head | None) -> None:
        if place is not None:
            self._recovered = True
            self._move(place)

    async def items(self) -> AsyncGenerator[DeviceListUpdate, None]:
        """The updates."""
        head, updates = await (self._since() if self._recovered else self._whole())
        while True:
            for update in updates:
                self._move(head, resumable=update.complete)
                yield update
            self._move(head)
            changes = await self._remembered()
            if changes is None:
                head, updates = await self._since()
            else:
                head, updates = Head(changes[-1].version, changes[-1].timestamp), self._difference(changes)

    async def _since(self) -> tuple[Head, list[DeviceListUpdate]]:
        """What differs since this place, from the devices alone: how they came there is of no matter."""
        version = self._head.version
        changed = await self._ask(lambda: self._store.devices_above(self.school, version))
        named = self._wanted.device_ids
        devices = [device for device in changed.devices if named is None or device.device_id in named]
        lists = self._wanted.lists
        # Whether one that is not listed now was listed then is not known: removing what is not there does no harm.
        return changed.head, self._update(
            [device for device in devices if lists(device.device_id, device.status)],
            [device.device_id for device in devices if not lists(device.device_id, device.status)],
        )

    async def _whole(self) -> tuple[Head, list[DeviceListUpdate]]:
        snapshot = await self._ask(lambda: self._store.snapshot(self.school, self._wanted))
        return snapshot.head, self._in_parts(snapshot.devices, (), reset=True)

    def _difference(self, changes: list[Change]) -> list[DeviceListUpdate]:
        before: dict[str, Status | None] = {}
        after: dict[str, Device] = {}
        for change in changes:
            before.setdefault(change.device_id, change.previous)
            after[change.device_id] = change.device
        lists = self._wanted.lists
        changed = [device for key, device in after.items() if lists(key, device.status)]
        removed = [
            key for key, status in before.items() if status and lists(key, status) and not lists(key, after[key].status)
        ]
        return self._update(changed, removed)

    def _update(self, changed: Sequence[Device], removed: Sequence[str]) -> list[DeviceListUpdate]:
        return self._in_parts(changed, removed, reset=False) if changed or removed else []

    def _in_parts(self, changed: Sequence[Device], removed: Sequence[str], *, reset: bool) -> list[DeviceListUpdate]:
        size = max(len(changed), len(removed), 1)
        return [
            DeviceListUpdate(
                school=self.school,
                reset=reset and start == 0,
                changed=changed[start : start + LIST_UPDATE_LIMIT],
                removed=removed[start : start + LIST_UPDATE_LIMIT],
                complete=start + LIST_UPDATE_LIMIT >= size,
            )
            for start in range(0, size, LIST_UPDATE_LIMIT)
        ]
