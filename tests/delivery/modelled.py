"""What clients of one school may be told, known by a model of its log: who compares what it was told with what it is.

A store may be restored to an older state, after which the log goes on from there: so there are several histories, of
which each has the beginning of one before. Timestamps are never used twice, so a version and a timestamp say in which
of them a place is.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from graphql_api.devices.cursor import Cursor
from graphql_api.devices.model import Change, Device, DeviceFilter, Status
from graphql_api.devices.watches import Event
from graphql_api.moment import SECOND
from tests.listening import Listening

Known = tuple[Status, int, int]
"""What a client knows of a device: its status, and which change has brought it about."""


class History:
    """A school's log, as whoever records and restores it knows it."""

    def __init__(self, school: str):
        self.school = school
        self.logs: list[list[Change]] = [[]]
        """The last one is that of the store; those before it are as they were when another took their place."""
        self._restored = [0]
        self.outlived: set[tuple[int, int]] = set()
        """Places of changes that were announced when the store's log did not hold them any more."""

    def __str__(self) -> str:
        logs = [
            [(each.version, each.timestamp, each.device_id, each.status.value) for each in log] for log in self.logs
        ]
        return f"logs restored from {self._restored}: {logs}"

    @property
    def log(self) -> list[Change]:
        """The store's."""
        return self.logs[-1]

    def restore(self, log: Sequence[Change]) -> None:
        """The store is as it was when this was its log."""
        self.logs.append(list(log))
        self._restored.append(len(log))

    def announce(self, changes: Sequence[Change]) -> None:
        """These are being told of: where they come right after the end of what was restored, nobody can know better."""
        last = len(self.logs) - 1
        places = [(each.version, each.timestamp) for each in changes]
        self.outlived.update(place for place in places if not self.holds(last, *place))

    def holds(self, era: int, version: int, timestamp: int) -> bool:
        """Whether a log holds the very change of this place."""
        log = self.logs[era]
        return not version or (version <= len(log) and log[version - 1].timestamp == timestamp)

    def listing(self, era: int, wanted: DeviceFilter, version: int) -> dict[str, Known]:
        """The devices that a filter lists, as of a version."""
        latest = {change.device_id: change.device for change in self.logs[era][:version]}
        return {key: _known(each) for key, each in latest.items() if wanted.lists(key, each.status)}

    def began_with_nothing(self, era: int, wanted: DeviceFilter) -> bool:
        """Whether a snapshot of what was restored could be empty, so that nothing was told of it."""
        return era > 0 and not self.listing(era, wanted, self._restored[era])


class Client:
    """One who subscribes, is cut off, and subscribes again with what it last knew."""

    def __init__(self, make_watch, wanted: DeviceFilter):
        self.make_watch = make_watch
        self.wanted = wanted
        self.cursor = None
        self.listener = None

    def connect(self, listeners: Listening) -> None:
        resume_from = [] if self.cursor is None else [self.cursor]
        self.listener = listeners.begin(self.make_watch(), resume_from)

    def disconnect(self, listeners: Listening) -> None:
        listeners.sharing.unsubscribe(self.listener)
        self.take_all(self.listener.received)
        self.cursor = self.listener.cursor or self.cursor
        self.listener = None

    def take_all(self, received: list[Any]) -> None:
        """What it was told, since it was connected."""
        for value in received:
            self.take(value)
        received.clear()

    def take(self, value: Any) -> None:
        raise NotImplementedError

    def knows_time(self, reported: int | None) -> bool:
        """Whether it is told the time, if at all, to ten seconds."""
        return True

    async def assert_level(self, store) -> None:
        """It has been told everything."""
        raise NotImplementedError


class EventClient(Client):
    """Checks each event against the log as the publisher knows it."""

    def __init__(self, make_watch, wanted, *, history: History, begun_anew, snapshot: bool):
        super().__init__(make_watch, wanted)
        self.history = history
        self.everything = DeviceFilter(wanted.device_ids, frozenset(Status))
        self.snapshot = snapshot
        # How often anything has made anybody begin a snapshot anew.
        self.begun_anew = begun_anew
        self.begun_anew_before = 0
        # The furthest place of which it was told, and the first of the logs that it can be a place of.
        self.at: tuple[int, int] | None = None
        self.era = 0
        self.standing: dict[str, Known] = {}

    def connect(self, listeners):
        self.begun_anew_before = self.begun_anew()
        # Whoever was cut in the middle of a snapshot has no cursor of it, and is told another.
        self.standing = {}
        super().connect(listeners)

    def take_all(self, received):
        if self.at is None and not self.snapshot and self.listener.began_at:
            # Whoever asks for no snapshot stands there before anything has come.
            self.at = _place(self.listener.began_at)
        super().take_all(received)

    def take(self, event: Event) -> None:
        if event.kind == "CHANGE":
            self.take_change(event)
        else:
            self.take_standing(event)

    def take_change(self, event: Event) -> None:
        version, timestamp = _place(event.cursor)
        assert version == event.device.version
        self.assert_whole()
        possible = self.eras()
        if (version, timestamp) in self.history.outlived:
            # Until it is noticed that the store does not hold it.
            possible = range(len(self.history.logs))
        eras = [era for era in possible if self.history.holds(era, version, timestamp) and self.follows(era, version)]
        assert eras, f"no next one is {event}, from {self.at} in {self.era} of {self.history} for {self.wanted}"
        self.era = eras[0]
        change = self.history.logs[self.era][version - 1]
        assert (event.device, event.previous) == (change.device, change.previous)
        self.at = (version, timestamp)

    def follows(self, era: int, version: int) -> bool:
        """Whether the change with this version is the next to be told of in this log."""
        return any(self.passing(era, start, version) == [version] for start in self.starts(era, version))

    def passing(self, era: int, start: int, end: int) -> list[int]:
        """The versions of which it is to be told, after a place up to another one."""
        return [each.version for each in self.history.logs[era][start:end] if self.wanted.passes(each)]

    def starts(self, era: int, end: int) -> Iterator[int]:
        """Where it may stand in a log, for all that it was told, before this version."""
        if self.at is None:
            assert self.snapshot, "whoever asks for no snapshot is level before anything comes"
            # A snapshot of no device has told nothing.
            yield from (each for each in range(end) if not self.history.listing(era, self.wanted, each))
        elif self.history.holds(era, *self.at):
            yield self.at[0]
        # It was not recovered, and there was nothing to be told of how things stood: of this log, or of one before it.
        began = [each for each in self.eras() if each <= era and self.history.began_with_nothing(each, self.everything)]
        if began:
            yield 0

    def take_standing(self, event: Event) -> None:
        if event.device.device_id in self.standing:
            # In the middle of it there was no room for the rest, or the log was another one.
            assert self.has_begun_anew(), "each device once"
            del self.standing[event.device.device_id]
        self.standing[event.device.device_id] = _known(event.device)
        if event.cursor:
            self.at = _place(event.cursor)
            self.compare_snapshot()

    def has_begun_anew(self) -> bool:
        """Whether a snapshot may have been begun anew, since it was connected."""
        return self.begun_anew() > self.begun_anew_before

    def compare_snapshot(self) -> None:
        """What was told is what the log came to there."""
        eras = [era for era in self.eras() if self.history.holds(era, *self.at) and self.is_of(era)]
        assert eras, f"of no moment is {self.standing}, told from {self.era} of {self.history} for {self.wanted}"
        self.era = eras[0]
        self.standing = {}

    def is_of(self, era: int) -> bool:
        """Whether it was told this log's state, of all devices whose ids it asks for if it was not recovered."""
        kinds = [self.everything, self.wanted] if self.snapshot else [self.everything]
        listings = [self.history.listing(era, kind, self.at[0]) for kind in kinds]
        # What was told before the beginning anew may be of devices that there are no more.
        told = list(self.standing.items())
        beginnings = range(len(told)) if self.has_begun_anew() else [0]
        return any(dict(told[beginning:]) in listings for beginning in beginnings)

    def assert_whole(self) -> None:
        """A snapshot is whole before anything follows, unless it was begun anew and there is nothing to be told."""
        last = len(self.history.logs) - 1
        assert not self.standing or 0 in self.starts(last, 0), f"the beginning of a snapshot: {self.standing}"
        self.standing = {}

    def eras(self) -> range:
        """The logs of which it may be told next: never of one again that another has replaced."""
        return range(self.era, len(self.history.logs))

    async def assert_level(self, store):
        self.assert_whole()
        if self.at is None:
            # A snapshot of no device has told nothing.
            self.at = _place(self.listener.began_at)
        last, end = len(self.history.logs) - 1, len(self.history.log)
        missing = [self.passing(last, start, end) for start in self.starts(last, end)]
        assert [] in missing, f"{missing} are missing, after {self.at} of {self.era} of {self.history}"


class ListClient(Client):
    """Folds the updates of a list."""

    def __init__(self, make_watch, wanted, *, school: str):
        super().__init__(make_watch, wanted)
        self.school = school
        self.listed: dict[str, Known] = {}

    def take(self, update):
        if update.reset:
            self.listed.clear()
        self.listed.update((device.device_id, _known(device)) for device in update.changed)
        for device_id in update.removed:
            self.listed.pop(device_id, None)

    async def assert_level(self, store):
        devices = (await store.snapshot(self.school, self.wanted)).devices
        assert self.listed == {device.device_id: _known(device) for device in devices}


class SummaryClient(Client):
    """Keeps the last summary."""

    def __init__(self, make_watch, wanted, *, school: str):
        super().__init__(make_watch, wanted)
        self.school = school
        self.summary = None

    def take(self, summary):
        self.summary = summary

    def knows_time(self, reported):
        summary = self.listener.received[-1] if self.listener.received else self.summary
        told = summary.head.last_report_at if summary else None
        return reported is None or (told is not None and reported - told < 10 * SECOND)

    async def assert_level(self, store):
        assert self.summary.counts == (await store.summary(self.school)).counts


def _known(device: Device) -> Known:
    # That it is seen again and again is told with its changes only.
    return device.status, device.version, device.changed_at


def _place(cursor: str) -> tuple[int, int]:
    place = Cursor.decode(cursor)
    return place.version, place.timestamp
