"""Who is interested in which changes: an index, so that a change costs nothing to those who don't want it. No I/O."""

from collections import defaultdict
from collections.abc import Hashable, MutableMapping, Sequence
from typing import Generic, TypeVar

from graphql_api.devices.model import Change, DeviceFilter, Status

__all__ = ["Interests"]

KeyT = TypeVar("KeyT", bound=Hashable)
NameT = TypeVar("NameT")


class Interests(Generic[KeyT]):
    """Filters, by what they can be found by: the device, else the status; those without either want everything."""

    def __init__(self) -> None:
        self._filters: dict[KeyT, DeviceFilter] = {}
        self._by_device: defaultdict[str, dict[KeyT, None]] = defaultdict(dict)
        self._by_status: defaultdict[Status, dict[KeyT, None]] = defaultdict(dict)
        self._in_everything: dict[KeyT, None] = {}

    def __len__(self) -> int:
        return len(self._filters)

    def keys(self) -> list[KeyT]:
        """All keys."""
        return list(self._filters)

    def add(self, key: KeyT, wanted: DeviceFilter) -> None:
        """Have this key found for the changes that pass the filter."""
        self._filters[key] = wanted
        if wanted.device_ids is not None:
            for device_id in wanted.device_ids:
                self._by_device[device_id][key] = None
        elif wanted.statuses is not None:
            for status in wanted.statuses:
                self._by_status[status][key] = None
        else:
            self._in_everything[key] = None

    def remove(self, key: KeyT) -> None:
        """Have it found no more."""
        wanted = self._filters.pop(key)
        for device_id in wanted.device_ids or ():
            _discard(self._by_device, device_id, key)
        if wanted.device_ids is None:
            for status in wanted.statuses or ():
                _discard(self._by_status, status, key)
        self._in_everything.pop(key, None)

    def touched(self, changes: Sequence[Change]) -> dict[KeyT, Sequence[Change]]:
        """For each key that wants any of the changes: those that pass its filter, in order."""
        found: dict[KeyT, list[Change]] = {}
        if self._by_device or self._by_status:
            for change in changes:
                for key in self._candidates(change):
                    if self._filters[key].passes(change):
                        found.setdefault(key, []).append(change)
        return {**dict.fromkeys(self._in_everything, changes), **found} if changes else {}

    def _candidates(self, change: Change) -> dict[KeyT, None]:
        found = dict(self._by_device.get(change.device_id, {}))
        for status in (change.status, change.previous):
            if status is not None:
                found.update(self._by_status.get(status, {}))
        return found


def _discard(index: MutableMapping[NameT, dict[KeyT, None]], name: NameT, key: KeyT) -> None:
    keys = index[name]
    del keys[key]
    if not keys:
        del index[name]
