"""The whole mechanism against a model: groups, hub, watches, feed and a real store, under whatever news say.

Resuming, joining with a snapshot and being too slow are one state of a subscriber: rounds are announced, lost, repeated
or reordered, clients connect, stall, drain, are cut and come back with what they last knew, history is pruned, the
store becomes another one, and reading, rendering and writing fail. In the end each client has been told what the
store's log says.
"""

import asyncio
import contextlib
import uuid
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from graphql_api.access.principal import DEVICES_ADMIN, DEVICES_PUBLISH, DEVICES_READ, Visibility
from graphql_api.devices.model import DeviceFilter, Report, Status
from graphql_api.errors import Unavailable
from tests.delivery.modelled import EventClient, History, ListClient, SummaryClient
from tests.delivery.service_in_steps import ServiceInSteps
from tests.devices.scripted_news import announcement

DEVICES = ["a", "b", "c", "d"]
MAX_REPLAY = 30
MAY = Visibility(frozenset(), all_schools=True, scopes=frozenset([DEVICES_READ, DEVICES_PUBLISH, DEVICES_ADMIN]))

# Sizes at which few devices and changes make several pages, parts and writes, and are more than is remembered, found at
# once, or done without a breath; what is tried again is tried at once.
SMALL = {
    "graphql_api.delivery.breath._LONGEST": 0,
    "graphql_api.delivery.frames.BATCH_LIMIT": 3_000,
    "graphql_api.delivery.group._BATCHES_IN_A_TURN": 1,
    "graphql_api.delivery.group._FIRST_RETRY": 0,
    "graphql_api.delivery.group._LONGEST_RETRY": 0,
    "graphql_api.delivery.group._STRIDE": 1,
    "graphql_api.delivery.hub._MOST": 4,
    "graphql_api.devices.feed._PAGE": 4,
    "graphql_api.devices.feeds._FIRST_RETRY": 0,
    "graphql_api.devices.feeds._LONGEST_RETRY": 0,
    "graphql_api.devices.recent._FEW_ROUNDS": 2,
    "graphql_api.devices.school_log._PAGE": 3,
    "graphql_api.devices.school_log._REMEMBERED_PLACES": 2,
    "graphql_api.devices.unread.UNREAD_LIMIT": 3,
    "graphql_api.devices.watches.listing.LIST_UPDATE_LIMIT": 2,
    "graphql_api.devices.watches.listing._FEW_CHANGES": 5,
    "graphql_api.devices.watches.summaries._MOST_READINGS": 1,
}

FILTERS = st.builds(
    DeviceFilter,
    st.none() | st.frozensets(st.sampled_from(DEVICES), min_size=1),
    st.none() | st.frozensets(st.sampled_from(Status), min_size=1),
)
ROUNDS = st.dictionaries(
    st.sampled_from(DEVICES), st.sampled_from([Status.ONLINE, Status.OFFLINE, Status.UNKNOWN]), min_size=1
)


class MechanismMachine(RuleBasedStateMachine):
    """One school, one process, one publisher who knows the log."""

    service: ServiceInSteps

    def __init__(self):
        super().__init__()
        # One store for all examples: to make one takes longer than to run one.
        self.school = uuid.uuid4().hex
        self.devices = self.service.devices
        self.history = History(self.school)
        self.service.fail(0, 0)
        self.backup = None
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
        self.history.log.extend(recorded.round.changes)
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

    @rule(data=st.data(), seconds=st.sampled_from([1, 9, 20]), noted=st.booleans())
    def repeat(self, data, seconds, noted):
        """A round of which nothing is new: it is told when the health checker has last reported."""
        latest = {change.device_id: change.status for change in self.history.log}
        known = sorted((key, status) for key, status in latest.items() if status is not Status.RETIRED)
        if not known:
            return
        self.service.clock.advance(seconds)
        recorded = self.service.run(self.record(dict([data.draw(st.sampled_from(known))])))
        assert recorded.round is None
        if noted:
            self.service.feeds.note(self.school, recorded.head)

    @rule(device_id=st.sampled_from(DEVICES), restore=st.booleans(), said=st.booleans())
    def administer(self, device_id, restore, said):
        if device_id not in {change.device_id for change in self.history.log}:
            return
        self.service.clock.advance(1)
        act = self.service.store.restore if restore else self.service.store.retire
        written = self.service.run(act(self.school, [device_id]))
        if written.round:
            self.history.log.extend(written.round.changes)
            if said:
                self.say(written.round, with_changes=True)

    def say(self, news, *, with_changes):
        if self.listening():
            self.history.announce(news.changes)
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
        with contextlib.suppress(Unavailable):
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

    @rule()
    def back_up(self):
        self.backup = list(self.history.log), self.service.back_up(self.school)

    @precondition(lambda self: self.backup)
    @rule()
    def restore(self):
        """The store is what it was at the backup, under everybody, while news of what is lost may be on their way."""
        log, rows = self.backup
        self.service.restore(self.school, rows)
        self.history.restore(log)

    @initialize(wanted=st.lists(FILTERS, max_size=2))
    def begin(self, wanted):
        for each in [DeviceFilter(), *wanted]:
            self.connect("events", each)
        self.connect("summary", DeviceFilter())

    @precondition(lambda self: len(self.clients) < 10)
    @rule(kind=st.sampled_from(["events", "events", "snapshot", "devices", "summary"]), wanted=FILTERS)
    def connect(self, kind, wanted):
        client = self.client(kind, wanted)
        self.clients.append(client)
        client.connect(self.service.listeners)

    def client(self, kind, wanted):
        devices, school = self.devices, self.school
        match kind:
            case "devices":
                return ListClient(lambda: devices.watch_devices(MAY, school, wanted), wanted, school=school)
            case "summary":
                return SummaryClient(lambda: devices.watch_summary(MAY, school), wanted, school=school)
        return EventClient(
            lambda: devices.watch_events(MAY, school, wanted, snapshot=kind == "snapshot"),
            wanted,
            history=self.history,
            begun_anew=self.service.begun_anew,
            snapshot=kind == "snapshot",
        )

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

    @rule(reads=st.integers(0, 5), renderings=st.sampled_from([0, 0, 1, 3]))
    def fail(self, reads, renderings):
        """The store can't be reached for a while, or what is to be told can't be rendered."""
        self.service.fail(reads, renderings)

    @precondition(lambda self: self.online())
    @rule(data=st.data(), after=st.integers(0, 3))
    def fail_to_write(self, data, after):
        """One of the next writes to a client fails."""
        data.draw(st.sampled_from(self.online())).listener.way.fails_after = after

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

    def is_level(self, client, reported):
        """Whether it is live at the end of this very log, and knows when the health checker has last reported."""
        log, place = self.history.log, client.listener.checkpoint()
        end = (log[-1].version, log[-1].timestamp) if log else (0, 0)
        return place is not None and (place.version, place.timestamp) == end and client.knows_time(reported)

    async def until_level(self):
        """Wait until all are, while heads are compared again and again."""
        reported = (await self.service.store.summary(self.school)).head.last_report_at
        async with asyncio.timeout(20):
            while not all(self.is_level(client, reported) for client in self.clients):
                self.service.news.rebuild()
                await asyncio.sleep(0.001)

    async def come_to_rest(self):
        self.service.fail(0, 0)
        for client in self.clients:
            if client.listener is None:
                client.connect(self.service.listeners)
            client.listener.drain()
        await self.until_level()
        # Before anything else can happen.
        for client in self.clients:
            client.take_all(client.listener.received)
        for client in self.clients:
            await client.assert_level(self.service.store)
            client.disconnect(self.service.listeners)
        sharing = self.service.listeners.sharing
        async with asyncio.timeout(20):
            while {task.get_name() for task in asyncio.all_tasks()} & {"group", "hub", "closing a group", "feed"}:  # noqa: ASYNC110 - they are the sharing's own
                await asyncio.sleep(0)
        statistics = sharing.statistics()
        assert (statistics.groups, statistics.subscribers, statistics.rendered.entries) == (0, 0, 0)


async def drained(listener):
    listener.drain()


@pytest.mark.logs_errors
class TestMechanism(MechanismMachine.TestCase):
    """Whatever news, clients, pruning and the network do, each client is told what the store's log says."""

    settings = settings(max_examples=60, stateful_step_count=40)

    @classmethod
    def setUpClass(cls):
        for place, size in SMALL.items():
            patched = mock.patch(place, size)
            patched.start()
            cls.addClassCleanup(patched.stop)
        MechanismMachine.service = ServiceInSteps(max_replay=MAX_REPLAY)
        cls.addClassCleanup(MechanismMachine.service.close)
