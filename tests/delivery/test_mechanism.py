"""The whole mechanism against a model: groups, hub, watches, feed and a real store, under whatever news say.

Resuming, joining with a snapshot and being too slow are one state of a subscriber: rounds are announced, lost, repeated
or reordered, clients connect, stall, drain, are cut and come back with what they last knew, history is pruned, and the
store becomes another one. In the end each client has been told what the store's log says.
"""

import asyncio
import contextlib
import tempfile
import uuid
from pathlib import Path
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from graphql_api.access.principal import DEVICES_ADMIN, DEVICES_PUBLISH, DEVICES_READ, Visibility
from graphql_api.devices.feeds import Feeds
from graphql_api.devices.model import DeviceFilter, Report, Status
from graphql_api.devices.service import DeviceService
from graphql_api.devices.store import Store
from tests.devices.conftest import SettableClock
from tests.devices.scripted_news import ScriptedNews, announcement
from tests.listening import listening_to, version_of

DEVICES = ["a", "b", "c", "d"]
MAX_REPLAY = 30
MAY = Visibility(frozenset(), all_schools=True, scopes=frozenset([DEVICES_READ, DEVICES_PUBLISH, DEVICES_ADMIN]))

# Sizes at which few devices and changes make several pages, parts and writes.
SMALL = {
    "graphql_api.delivery.frames.BATCH_LIMIT": 3_000,
    "graphql_api.delivery.group._BATCHES_IN_A_TURN": 1,
    "graphql_api.devices.school_log._PAGE": 3,
    "graphql_api.devices.feed._PAGE": 4,
    "graphql_api.devices.watches.listing.LIST_UPDATE_LIMIT": 2,
    "graphql_api.devices.watches.listing._FEW_CHANGES": 5,
}

FILTERS = st.builds(
    DeviceFilter,
    st.none() | st.frozensets(st.sampled_from(DEVICES), min_size=1),
    st.none() | st.frozensets(st.sampled_from(Status), min_size=1),
)
ROUNDS = st.dictionaries(
    st.sampled_from(DEVICES), st.sampled_from([Status.ONLINE, Status.OFFLINE, Status.UNKNOWN]), min_size=1
)


class Service:
    """All of it, in an event loop of its own, which runs while a test's step waits for something."""

    def __init__(self):
        self._runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.clock = SettableClock()
        self.run(self._open())

    def run(self, work):
        return self._runner.run(work)

    def turns(self, count):
        """Let the loop go round, without waiting for anything that a thread is asked for."""

        async def go_round():
            for _ in range(count):
                await asyncio.sleep(0)

        self.run(go_round())

    async def _open(self):
        enter = self._stack.enter_async_context
        self.store = await Store.open(f"sqlite:///{self.folder}/devices.db", clock=self.clock)
        self._stack.push_async_callback(self.store.close)
        self.news = ScriptedNews()
        # Three rounds of four changes are remembered, and as much of what was rendered.
        self.feeds = await enter(Feeds(store=self.store, news=self.news, compare_interval=3_600, recent_limit=4_800))
        self.devices = DeviceService(
            store=self.store, news=self.news, feeds=self.feeds, revoking=None, max_replay=MAX_REPLAY
        )
        self.listeners = await enter(listening_to(self.devices, rendered_limit=10_000, unfinished_limit=300))

    def close(self):
        with self._runner:
            self.run(self._stack.aclose())


class Client:
    """One who subscribes, is cut off, and subscribes again with what it last knew."""

    def __init__(self, machine, make_watch, wanted):
        self.school = machine.school
        self.make_watch = make_watch
        self.wanted = wanted
        self.cursor = None
        self.listener = None

    def connect(self, listeners):
        resume_from = [] if self.cursor is None else [self.cursor]
        self.listener = listeners.begin(self.make_watch(), resume_from)

    def disconnect(self, listeners):
        listeners.sharing.unsubscribe(self.listener)
        self.take_all(self.listener.received)
        self.cursor = self.listener.cursor or self.cursor
        self.listener = None

    def take_all(self, received):
        """What it was told, since it was connected."""
        for value in received:
            self.take(value)
        received.clear()


class EventClient(Client):
    """Checks each event against the log as the publisher knows it."""

    def __init__(self, machine, wanted, *, snapshot):
        super().__init__(
            machine, lambda: machine.devices.watch_events(MAY, machine.school, wanted, snapshot=snapshot), wanted
        )
        self.service = machine.service
        self.log = machine.log
        self.everything = DeviceFilter(wanted.device_ids, frozenset(Status))
        self.snapshot = snapshot
        self.begun_at = None
        self.at = None
        self.standing = {}
        self.restarts = 0

    def take(self, event):
        version = event.device.version
        if event.kind == "CHANGE":
            self.settle()
            if self.at is None:
                assert self.snapshot, "whoever asks for no snapshot is level before anything comes"
                # A snapshot of no device has told nothing.
                self.begun_at = self.at = version - 1
            passing = [each.version for each in self.log[self.at : version] if self.wanted.passes(each)]
            assert passing == [version], "every change that passes, in order, each once"
            assert (event.device, event.previous) == (self.log[version - 1].device, self.log[version - 1].previous)
            self.at = version
            return
        if event.device.device_id in self.standing:
            # In the middle of it there was no room for the rest, or what the feed had delivered last was pruned.
            assert self.begun_anew() > self.begun_anew_before, "each device once"
            self.standing = {}
        self.standing[event.device.device_id] = event.device
        if event.cursor:
            self.at = version_of(event.cursor)
            self.restarts += 1
            self.compare_snapshot()

    def begun_anew(self):
        """How often anything made anybody begin a snapshot anew."""
        return self.service.listeners.sharing.statistics().unfinished.forgotten + self.service.feeds.statistics().resets

    def connect(self, listeners):
        self.begun_anew_before = self.begun_anew()
        # Whoever was cut in the middle of a snapshot has no cursor of it, and is told another.
        self.standing = {}
        super().connect(listeners)

    def take_all(self, received):
        if self.at is None and not self.snapshot and self.listener.began_at:
            # Whoever asks for no snapshot stands there before anything has come.
            self.begun_at = self.at = version_of(self.listener.began_at)
        super().take_all(received)

    def settle(self):
        assert not self.standing, "a snapshot is whole before a change follows"

    def compare_snapshot(self):
        """What was told is what the log comes to at that version."""
        latest = {change.device_id: change.device for change in self.log[: self.at]}
        kinds = [self.everything, self.wanted] if self.snapshot else [self.everything]
        expected = [{key: each for key, each in latest.items() if kind.lists(key, each.status)} for kind in kinds]
        told = {key: (device.status, device.version) for key, device in self.standing.items()}
        assert told in [{key: (each.status, each.version) for key, each in one.items()} for one in expected]
        self.standing = {}

    async def assert_level(self, store):
        self.settle()
        if self.at is None:
            # A snapshot of no device has told nothing.
            self.at = version_of(self.listener.began_at)
        assert [each for each in self.log[self.at :] if self.wanted.passes(each)] == [], "nothing is missing"


class ListClient(Client):
    """Folds the updates of a list."""

    def __init__(self, machine, wanted):
        super().__init__(machine, lambda: machine.devices.watch_devices(MAY, machine.school, wanted), wanted)
        self.listed = {}

    def take(self, update):
        if update.reset:
            self.listed.clear()
        self.listed.update((device.device_id, device.version) for device in update.changed)
        for device_id in update.removed:
            self.listed.pop(device_id, None)

    async def assert_level(self, store):
        devices = (await store.snapshot(self.school, self.wanted)).devices
        assert self.listed == {device.device_id: device.version for device in devices}


class SummaryClient(Client):
    """Keeps the last summary."""

    def __init__(self, machine, wanted):
        super().__init__(machine, lambda: machine.devices.watch_summary(MAY, machine.school), wanted)
        self.summary = None

    def take(self, summary):
        self.summary = summary

    async def assert_level(self, store):
        assert self.summary.counts == (await store.summary(self.school)).counts


class MechanismMachine(RuleBasedStateMachine):
    """One school, one process, one publisher who knows the log."""

    service: Service

    def __init__(self):
        super().__init__()
        # One store for all examples: to make one takes longer than to run one.
        self.school = uuid.uuid4().hex
        self.devices = self.service.devices
        self.log = []
        self.unsaid = []
        self.clients = []

    def online(self):
        return [client for client in self.clients if client.listener]

    def offline(self):
        return [client for client in self.clients if not client.listener]

    def listening(self):
        return bool(self.service.news.listening)

    @rule(statuses=ROUNDS, fate=st.sampled_from(["said", "said", "kept", "lost", "noted"]))
    def publish(self, statuses, fate):
        """Record a round; its news are said, lost, or said later and perhaps in another order."""
        recorded = self.service.run(self.record(statuses))
        if recorded.round is None:
            return
        self.log += recorded.round.changes
        if fate == "said":
            self.say(recorded.round, with_changes=True)
        elif fate == "kept":
            self.unsaid.append(recorded.round)
        elif fate == "noted":
            # As after a commit of this process.
            self.service.feeds.note(self.school, recorded.head)

    async def record(self, statuses):
        self.service.clock.advance(1)
        reports = [(index, Report(key, status)) for index, (key, status) in enumerate(statuses.items())]
        return await self.service.store.record(self.school, reports)

    @rule(device_id=st.sampled_from(DEVICES), restore=st.booleans(), said=st.booleans())
    def administer(self, device_id, restore, said):
        if device_id not in {change.device_id for change in self.log}:
            return
        self.service.clock.advance(1)
        act = self.service.store.restore if restore else self.service.store.retire
        written = self.service.run(act(self.school, [device_id]))
        if written.round:
            self.log += written.round.changes
            if said:
                self.say(written.round, with_changes=True)

    def say(self, news, *, with_changes):
        if self.listening():
            self.service.news.say(self.school, announcement(news, with_changes=with_changes))

    @precondition(lambda self: self.unsaid)
    @rule(data=st.data(), again=st.booleans(), with_changes=st.booleans())
    def say_late(self, data, again, with_changes):
        """News come late, in any order, without their changes, or more than once."""
        index = data.draw(st.integers(0, len(self.unsaid) - 1))
        self.say(self.unsaid[index], with_changes=with_changes)
        if not again:
            self.unsaid.pop(index)

    @rule(count=st.sampled_from([1, 2, 5, 30]))
    def go_round(self, count):
        """Whatever is under way goes on a little."""
        self.service.turns(count)

    @rule()
    def let_threads_finish(self):
        """What the store was asked for is answered."""
        self.service.run(self.service.store.heads([self.school]))

    @rule()
    def compare_heads(self):
        """As every few seconds."""
        self.service.news.rebuild()
        self.service.turns(3)

    @rule(days=st.sampled_from([0, 5, 20]))
    def prune(self, days):
        """Only the last few seconds of history are kept."""
        before = self.service.clock() - days * 1_000_000
        self.service.run(self.service.store.prune(before, limit=1_000))

    @initialize(wanted=st.lists(FILTERS, max_size=2))
    def begin(self, wanted):
        for each in [DeviceFilter(), *wanted]:
            self.connect("events", each)

    @precondition(lambda self: len(self.clients) < 10)
    @rule(kind=st.sampled_from(["events", "events", "snapshot", "devices", "summary"]), wanted=FILTERS)
    def connect(self, kind, wanted):
        match kind:
            case "devices":
                client = ListClient(self, wanted)
            case "summary":
                client = SummaryClient(self, wanted)
            case _:
                client = EventClient(self, wanted, snapshot=kind == "snapshot")
        self.clients.append(client)
        client.connect(self.service.listeners)

    @precondition(lambda self: self.online())
    @rule(data=st.data(), room=st.integers(0, 3))
    def stall_or_drain(self, data, room):
        """A client takes nothing more, at once or after some writes; or it goes on."""
        listener = data.draw(st.sampled_from(self.online())).listener
        if listener.way.writable and room:
            listener.way.room = room
        elif listener.way.writable:
            listener.stall()
        else:
            self.service.run(drained(listener))

    @precondition(lambda self: self.online())
    @rule(data=st.data())
    def cut(self, data):
        data.draw(st.sampled_from(self.online())).disconnect(self.service.listeners)

    @precondition(lambda self: self.offline())
    @rule(data=st.data())
    def come_back(self, data):
        data.draw(st.sampled_from(self.offline())).connect(self.service.listeners)
        self.service.turns(1)

    def teardown(self):
        """All come back and take everything; then all have been told everything."""
        try:
            self.service.run(self.come_to_rest())
        finally:
            # Other examples share the service: whatever has failed in this one must not fail in those.
            for client in self.online():
                self.service.listeners.sharing.unsubscribe(client.listener)

    async def come_to_rest(self):
        store = self.service.store
        for client in self.clients:
            if client.listener is None:
                client.connect(self.service.listeners)
            client.listener.drain()
        for client in self.clients:
            async with asyncio.timeout(20):
                await client.listener.live.wait()
            self.service.news.rebuild()
            await client.listener.until_level_with(store)
        for client in self.clients:
            client.take_all(client.listener.received)
            await client.assert_level(store)
            client.disconnect(self.service.listeners)
        sharing = self.service.listeners.sharing
        async with asyncio.timeout(20):
            while {task.get_name() for task in asyncio.all_tasks()} & {"group", "hub", "closing a group", "feed"}:  # noqa: ASYNC110 - they are the sharing's own
                await asyncio.sleep(0)
        statistics = sharing.statistics()
        assert (statistics.groups, statistics.subscribers, statistics.rendered.entries) == (0, 0, 0)


async def drained(listener):
    listener.drain()


class TestMechanism(MechanismMachine.TestCase):
    """Whatever news, clients, pruning and the network do, each client is told what the store's log says."""

    settings = settings(max_examples=60, stateful_step_count=40)

    @classmethod
    def setUpClass(cls):
        for place, size in SMALL.items():
            patched = mock.patch(place, size)
            patched.start()
            cls.addClassCleanup(patched.stop)
        MechanismMachine.service = Service()
        cls.addClassCleanup(MechanismMachine.service.close)
