"""A list of devices: whole at first, then what differs."""

from collections.abc import Sequence
from dataclasses import dataclass

from graphql_api.devices.model import Change, Device, Head, Status
from graphql_api.devices.school_log import SchoolLog
from graphql_api.devices.watches.watch import Fresh, Item, Step, Watch

__all__ = ["LIST_UPDATE_LIMIT", "DeviceListUpdate", "DeviceListWatch"]

LIST_UPDATE_LIMIT = 500
"""Devices in one :class:`DeviceListUpdate` at most."""

# Changes in memory that are folded; the devices of a school tell the same as more than that, and are fewer.
_FEW_CHANGES = 1_000


@dataclass(frozen=True, slots=True)
class DeviceListUpdate:
    """What differs in a list of devices since the update before."""

    school: str
    reset: bool
    changed: Sequence[Device]
    removed: Sequence[str]
    """Device ids of those that have left the list."""
    complete: bool


class DeviceListWatch(Watch[DeviceListUpdate]):
    """The list of devices that match the filter, kept up to date.

    One update per round that touches the list, or one for several rounds that came in between;
    more than one where it would be too long.
    """

    def resume(self, log: SchoolLog, place: Head | None) -> Head | Fresh:  # noqa: ARG002 - however long ago: what differs is folded
        """Where it was; with no such place the list begins anew."""
        return Fresh.LOST if place is None else place

    def live(self, log: SchoolLog, changes: Sequence[Change], head: Head) -> list[Item[DeviceListUpdate]]:
        """One update of all the changes, if they make any difference to the list."""
        before: dict[str, Status | None] = {}
        after: dict[str, Device] = {}
        for change in changes:
            before.setdefault(change.device_id, change.previous)
            after[change.device_id] = change.device
        lists = self.wanted.lists
        changed = [device for key, device in after.items() if lists(key, device.status)]
        removed = [
            key for key, status in before.items() if status and lists(key, status) and not lists(key, after[key].status)
        ]
        return self._update(log, head, changed, removed)

    async def behind(self, log: SchoolLog, standing: Head | Fresh) -> Step[DeviceListUpdate]:
        """What differs by now, from the changes in memory or from the devices alone; or the whole list."""
        if isinstance(standing, Fresh):
            snapshot = await log.snapshot(self.wanted)
            return Step(self._in_parts(log, snapshot.head, snapshot.devices, (), reset=True), snapshot.head)
        changes = log.remembered_after(standing.version, _FEW_CHANGES)
        if changes and changes[-1].version == log.head.version:
            place = Head(changes[-1].version, changes[-1].timestamp)
            return Step(self.live(log, changes, place), place)
        changed = await log.devices_above(standing.version)
        return Step(self._since(log, changed.head, changed.devices), changed.head)

    def _since(self, log: SchoolLog, head: Head, changed: Sequence[Device]) -> list[Item[DeviceListUpdate]]:
        named = self.wanted.device_ids
        devices = [device for device in changed if named is None or device.device_id in named]
        lists = self.wanted.lists
        # Whether one that is not listed now was listed then is not known: removing what is not there does no harm.
        return self._update(
            log,
            head,
            [device for device in devices if lists(device.device_id, device.status)],
            [device.device_id for device in devices if not lists(device.device_id, device.status)],
        )

    def _update(
        self, log: SchoolLog, head: Head, changed: Sequence[Device], removed: Sequence[str]
    ) -> list[Item[DeviceListUpdate]]:
        return self._in_parts(log, head, changed, removed, reset=False) if changed or removed else []

    def _in_parts(
        self, log: SchoolLog, head: Head, changed: Sequence[Device], removed: Sequence[str], *, reset: bool
    ) -> list[Item[DeviceListUpdate]]:
        size = max(len(changed), len(removed), 1)
        items = []
        for start in range(0, size, LIST_UPDATE_LIMIT):
            end = start + LIST_UPDATE_LIMIT
            complete = end >= size
            update = DeviceListUpdate(
                self.school, reset and start == 0, changed[start:end], removed[start:end], complete
            )
            items.append(Item(update, head if complete else None, log.cursor(head) if complete else None))
        return items
