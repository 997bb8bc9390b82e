"""What watchers of events and of state have seen, and how it compares with the store."""

from dataclasses import dataclass, field
from typing import Any

from graphql_api.devices.cursor import Cursor
from tests.faults.history import Entry, History
from tests.wire.clients import DEVICES, EVENTS, SUMMARY


@dataclass
class Stretch:
    """Events without a seam: a snapshot, if there was one, and the changes that followed."""

    begin: int | None
    """The version before the first change; None while the snapshot is not complete."""
    snapshot: dict[str, str] = field(default_factory=dict)
    changes: list[Entry] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<{len(self.snapshot)} devices at {self.begin}, {len(self.changes)} changes>"

    def check(self, history: History, *, end: int | None = None) -> None:
        """Each change of the log up to ``end`` (the last one seen) once, in order, and the snapshot was true."""
        assert self.begin is not None, "a snapshot without an end"
        if self.snapshot:
            assert self.snapshot == history.statuses_at(self.begin)
        end = self.begin + len(self.changes) if end is None else end
        assert [entry.version for entry in self.changes] == list(range(self.begin + 1, end + 1))
        # What was pruned meanwhile can't be compared any more, nor what was recorded since the history was read.
        held = [entry for entry in self.changes if history.floor <= entry.version <= history.head]
        assert held == [entry for entry in history.entries if self.begin < entry.version <= end]


class EventWatcher:
    """Records every event in order; each snapshot begins a new stretch."""

    query = EVENTS

    def __init__(self, school: str, **filters: Any) -> None:
        self.variables = {"schoolId": school, **filters}
        self.stretches: list[Stretch] = []
        self.version = 0
        """Of the last event with a cursor."""
        self._epoch: str | None = None

    def __repr__(self) -> str:
        return f"<events up to version {self.version}: {self.stretches}>"

    @property
    def snapshots(self) -> int:
        """How often it was told how things stand."""
        return sum(bool(stretch.snapshot) for stretch in self.stretches)

    def checkpoint(self, cursor: str) -> None:
        decoded = Cursor.decode(cursor)
        if not self.stretches:
            # Live from here on: nothing may be missing.
            self.stretches.append(Stretch(decoded.version))
            self.version = decoded.version
        elif decoded.epoch != self._epoch:
            # Another database, which was empty when that was noticed: there was nothing to be told of it.
            self.stretches.append(Stretch(0))
        self._epoch = decoded.epoch

    def take(self, data: dict[str, Any]) -> None:
        event = data["deviceStatus"]
        cursor = Cursor.decode(event["cursor"]) if event["cursor"] else None
        if event["kind"] == "SNAPSHOT":
            self._take_snapshot(event, cursor)
        else:
            if cursor.epoch != self._epoch:
                self.stretches.append(Stretch(0))
            self.stretches[-1].changes.append(
                Entry(cursor.version, event["deviceId"], event["status"], event["previousStatus"], cursor.timestamp)
            )
        if cursor is not None:
            self.version = cursor.version
            self._epoch = cursor.epoch

    def _take_snapshot(self, event: dict[str, Any], cursor: Cursor | None) -> None:
        if not self.stretches or self.stretches[-1].begin is not None:
            self.stretches.append(Stretch(None))
        stretch = self.stretches[-1]
        if event["deviceId"] in stretch.snapshot:
            # It was cut off, and comes again from its beginning.
            stretch.snapshot.clear()
        stretch.snapshot[event["deviceId"]] = event["status"]
        if cursor is not None:
            stretch.begin = cursor.version

    def agrees_with(self, history: History) -> bool:
        return self.version == history.head

    def check(self, history: History, before: History | None = None) -> None:
        """Each stretch is true, and the last one reaches up to the head."""
        for stretch in self.stretches[:-1]:
            stretch.check(before or history)
        self.stretches[-1].check(history, end=history.head)


class ListWatcher:
    """The list of devices, folded from its updates; knows how often it began anew."""

    query = DEVICES

    def __init__(self, school: str, **filters: Any) -> None:
        self.variables = {"schoolId": school, **filters}
        self.devices: dict[str, tuple[str, str]] = {}
        """By opaque id: device id and status."""
        self.resets = 0
        self.complete = False

    def __repr__(self) -> str:
        return f"<list: {len(self.devices)} devices, {self.resets} resets, complete: {self.complete}>"

    def checkpoint(self, cursor: str) -> None:
        """Nothing is new to it."""

    @property
    def statuses(self) -> dict[str, str]:
        return dict(self.devices.values())

    def take(self, data: dict[str, Any]) -> None:
        update = data["devices"]
        if update["reset"]:
            self.resets += 1
            self.devices.clear()
        for device in update["changed"]:
            self.devices[device["id"]] = (device["deviceId"], device["status"])
        for gone in update["removed"]:
            self.devices.pop(gone, None)
        self.complete = update["complete"]

    def agrees_with(self, history: History) -> bool:
        return self.complete and self.statuses == history.listed

    def check(self, history: History, before: History | None = None) -> None:
        assert self.statuses == history.listed


class SummaryWatcher:
    """The last summary."""

    query = SUMMARY

    def __init__(self, school: str) -> None:
        self.variables = {"schoolId": school}
        self.summary: dict[str, Any] | None = None
        self.updates = 0

    def __repr__(self) -> str:
        return f"<summary: {self.summary}>"

    def checkpoint(self, cursor: str) -> None:
        """Nothing is new to it."""

    @property
    def counts(self) -> dict[str, int]:
        counts = self.summary["counts"] if self.summary else []
        return {entry["status"]: entry["count"] for entry in counts if entry["count"]}

    def take(self, data: dict[str, Any]) -> None:
        self.summary = data["statusSummary"]
        self.updates += 1

    def agrees_with(self, history: History) -> bool:
        return self.counts == history.counts

    def check(self, history: History, before: History | None = None) -> None:
        assert self.counts == history.counts
        assert self.summary["total"] == sum(history.counts.values())
