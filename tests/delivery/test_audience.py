"""Who of a group is told what: subscribers against a model that knows every change. No I/O, no loop."""

import gc
import weakref
from dataclasses import dataclass, field
from functools import partial

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from graphql_api.delivery.audience import Audience, Position, State, Subscriber
from graphql_api.delivery.frames import Batch, Lane, Rendered
from graphql_api.delivery.unfinished import Unfinished
from graphql_api.devices.cursor import Cursor
from graphql_api.devices.model import Head
from graphql_api.devices.watches import Fresh
from graphql_api.moment import Moment

GROUPS = 2
# As in a group: what one subscriber is sent in its turn, and how many changes a step reads.
BATCHES_IN_A_TURN = 2
PAGE = 3
# How far the groups move at a time: near ones leave members ahead, far ones meet them.
ROUND = st.lists(st.frozensets(st.integers(0, GROUPS - 1)), min_size=1, max_size=3)
STEPS = st.sampled_from([1, 2, 10**6])


class Words(Lane):
    """A way of writing that a test can read."""

    def pieces(self, results):
        return [b" ".join(result.payload for result in results)]


LANES = [Words(), Words()]


class Log:
    """What a school's store holds: each change is wanted by some groups; the beginning may be pruned."""

    def __init__(self, number):
        self.number = number
        self.wanted = []
        """Of each version from 1 on: the groups that want it."""
        self.floor = 1

    def head(self, version=None):
        return Head(len(self.wanted) if version is None else version, Moment(self.number))

    def versions(self, group, after, until=None):
        """The versions that a group wants, in order."""
        until = len(self.wanted) if until is None else until
        return [version for version in range(after + 1, until + 1) if group in self.wanted[version - 1]]


def change(log, version):
    return Batch([Rendered(b"change:%d:%d" % (log.number, version), log.head(version), None)])


def snapshot(log, parts):
    head = log.head()
    payloads = [b"snapshot:%d:%d:%d:%d" % (log.number, head.version, part, parts) for part in range(parts)]
    return [
        Batch([Rendered(payload, head if part == parts - 1 else None, None)]) for part, payload in enumerate(payloads)
    ]


class Way:
    def __init__(self, take):
        self.writable = True
        self.take = take

    def write(self, data):
        for word in data.decode().split():
            self.take(word)


class Client(Subscriber):
    """A subscriber that checks each thing it is told against what it was told before."""

    def __init__(self, machine, group, lane, standing):
        super().__init__(Way(self.take), lane)
        self.machine = machine
        self.group = group
        # Where its client stands by what it has got: log and version; None while only a snapshot can tell.
        self.at = None if isinstance(standing, Fresh) else (machine.log.number, standing.version)
        self.part = 0

    def take(self, word):
        kind, number, version, *rest = word.split(":")
        log = self.machine.log
        assert int(number) == log.number, "nothing of another log is told"
        version = int(version)
        if kind == "change":
            assert self.part == 0, "a snapshot is not interrupted"
            assert self.at is not None
            assert self.at[0] == log.number
            assert log.versions(self.group, self.at[1], version) == [version], "nothing is left out, or told twice"
            self.at = (log.number, version)
            return
        part, parts = map(int, rest)
        if part == 0:
            self.part = 0
            assert self.may_be_told_anew(version), "who can go on from where it was goes on"
        assert part == self.part
        self.part = part + 1
        self.at = None
        if self.part == parts:
            self.part = 0
            self.at = (log.number, version)

    def may_be_told_anew(self, version):
        log = self.machine.log
        if self.at is None or self.at[0] != log.number:
            return True
        # What comes next was pruned; whether this group wanted it can't be told any more.
        return self.at[1] < version and self.machine.pruned_after(self)

    def on_level(self, place):
        self.assert_told_up_to(place)

    def assert_told_up_to(self, place):
        log = self.machine.log
        assert place.timestamp == log.number
        assert self.part == 0, "nobody stands inside of a snapshot"
        if self.at is None or self.at[0] != log.number:
            # A snapshot of no device says nothing, and is told all the same.
            self.at = (log.number, place.version)
        assert log.versions(self.group, self.at[1], place.version) == [], "nobody stands where it was not told"


@dataclass
class Turn:
    """A turn under way: what was read for it at its beginning."""

    client: Client
    standing: object
    resets: int
    found: list
    place: object


@dataclass
class Delivery:
    """A round on its way to a group: whom else to write to, step by step."""

    audience: Audience
    steps: object
    rest: list = field(default_factory=list)


class AudienceMachine(RuleBasedStateMachine):
    """Two groups at one position, driven as hub and group drive them, every step at any moment."""

    def __init__(self):
        super().__init__()
        self.log = Log(1)
        self.position = Position(self.log.head())
        # Room for few of the rests that stalled clients have not got yet.
        self.unfinished = Unfinished(60)
        # Groups whose task for those who are due has been begun, and has not come to its end.
        self.serving = set()
        self.audiences = [
            Audience(self.position, self.unfinished, partial(self.serving.add, group)) for group in range(GROUPS)
        ]
        self.clients = []
        self.turns = {}
        self.deliveries = []

    def pruned_after(self, client):
        """Whether the change that follows where a client stands is gone."""
        standing = client.standing
        version = standing.version if isinstance(standing, Head) else client.at[1]
        return version + 1 < self.log.floor or standing is Fresh.LOST

    # What happens to the log.

    @precondition(lambda self: len(self.log.wanted) < self.position.head.version + 6)
    @rule(wanted=ROUND)
    def publish(self, wanted):
        self.log.wanted += wanted

    @precondition(lambda self: self.clients)
    @rule(floor=st.integers(1, 40), wanted=ROUND, what=st.integers(0, 9))
    def seldom(self, floor, wanted, what):
        if what == 0 and not self.deliveries:
            self.another_log(wanted)
        elif what == 1:
            self.log.floor = max(self.log.floor, min(floor, len(self.log.wanted)))

    def another_log(self, wanted):
        self.log = Log(self.log.number + 1)
        self.log.wanted = wanted
        self.position.reset(self.log.head())
        for audience in self.audiences:
            audience.reset()

    # What the hub does.

    @precondition(lambda self: not self.deliveries and self.position.head != self.log.head())
    @rule(most=STEPS, forgotten=st.integers(0, 3))
    def move(self, most, forgotten):
        before = self.position.head
        head = self.log.head(min(before.version + most, len(self.log.wanted)))
        if forgotten == 0:
            self.miss(before, head)
            return
        touched = [group for group in range(GROUPS) if self.log.versions(group, before.version, head.version)]
        for group in touched:
            self.audiences[group].begin_move()
        self.position.move(head)
        for group in touched:
            found = [change(self.log, version) for version in self.log.versions(group, before.version, head.version)]
            self.deliveries.append(Delivery(self.audiences[group], self.fan_out(group, found, before)))

    def fan_out(self, group, found, before):
        audience = self.audiences[group]
        for batch in found:
            for lane, subscribers in audience.live():
                for subscriber in subscribers:
                    yield
                    if subscriber.state is not State.LIVE:
                        continue
                    if subscriber.way.writable:
                        subscriber.way.write(subscriber.prefix.join(batch.pieces(lane)))
                    else:
                        audience.fall_behind(subscriber, before)
            before = batch.place

    @precondition(lambda self: self.deliveries)
    @rule(steps=st.integers(1, 6))
    def write(self, steps):
        delivery = self.deliveries[0]
        for _ in range(steps):
            if next(delivery.steps, self) is self:
                delivery.audience.end_move()
                self.deliveries.pop(0)
                return

    def miss(self, before, head):
        for audience in self.audiences:
            audience.begin_move()
        self.position.move(head)
        for audience in self.audiences:
            for _, subscribers in audience.live():
                for subscriber in subscribers:
                    audience.fall_behind(subscriber, before)
            audience.end_move()

    # What clients do.

    @initialize(backs=st.lists(st.sampled_from([None, 0]), min_size=2, max_size=4))
    def begin(self, backs):
        for number, back in enumerate(backs):
            self.join(number % GROUPS, LANES[0], back, Fresh.ASKED, looked_up=True, writable=True)

    @precondition(lambda self: len(self.clients) < 12)
    @rule(
        group=st.integers(0, GROUPS - 1),
        lane=st.sampled_from(LANES),
        back=st.none() | st.just("the group") | st.sampled_from([0, 0, 1, 2, 12]),
        fresh=st.sampled_from(Fresh),
        looked_up=st.booleans(),
        writable=st.booleans(),
    )
    def join(self, group, lane, back, fresh, looked_up, writable):
        standing = fresh
        if back is not None:
            here = self.audiences[group].position.version
            head = self.log.head(here if back == "the group" else max(len(self.log.wanted) - back, 0))
            standing = head if looked_up else Cursor("epoch", "school", head.version, head.timestamp)
        client = Client(self, group, lane, standing)
        client.way.writable = writable
        self.clients.append(client)
        self.audiences[group].join(client, standing)

    def drawn(self, data):
        return data.draw(st.sampled_from(self.clients))

    @precondition(lambda self: len(self.clients) > 3)
    @rule(data=st.data())
    def leave(self, data):
        client = self.drawn(data)
        self.clients.remove(client)
        for _ in range(2):
            self.audiences[client.group].leave(client)
        assert (client.state, client.rest, client.audience) == (State.GONE, None, None)

    @precondition(lambda self: self.clients)
    @rule(data=st.data())
    def stall_or_drain(self, data):
        client = self.drawn(data)
        if client.way.writable:
            client.way.writable = False
        else:
            self.drained(client)

    def drained(self, client):
        client.way.writable = True
        self.audiences[client.group].drained(client)

    # What the group's serving does.

    def waiting(self):
        """The groups that somebody waits in, or is served in."""
        return [group for group, audience in enumerate(self.audiences) if audience.has_due or group in self.turns]

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), parts=st.integers(0, 5), failed=st.integers(0, 7))
    def turn(self, data, parts, failed):
        group = data.draw(st.sampled_from(self.waiting()))
        if group in self.turns:
            self.end_turn(group, failed=failed == 0)
        else:
            self.begin_turn(group, parts)

    def begin_turn(self, group, parts):
        audience = self.audiences[group]
        client = audience.next_due()
        if client is None:
            self.serving.discard(group)
            return
        standing = client.standing
        found, place = [], None
        if client.rest:
            found, place = client.rest
        elif not isinstance(standing, Cursor):
            found, place = self.read(group, standing, parts)
        self.turns[group] = Turn(client, standing, audience.resets, found, place)

    def read(self, group, standing, parts):
        if isinstance(standing, Head) and standing.version + 1 >= self.log.floor:
            until = min(standing.version + PAGE, len(self.log.wanted))
            versions = self.log.versions(group, standing.version, until)
            return [change(self.log, version) for version in versions], self.log.head(until)
        # Where there were changes there is a device to be told of, retired or not.
        return snapshot(self.log, max(parts, isinstance(standing, Head))), self.log.head()

    def end_turn(self, group, *, failed):
        turn = self.turns.pop(group)
        audience, client = self.audiences[group], turn.client
        if turn.resets != audience.resets:
            audience.served(client, Fresh.LOST)
        elif failed:
            # The store could not be reached.
            audience.served(client, turn.standing, client.rest)
        elif isinstance(turn.standing, Cursor):
            held = turn.standing.version + 1 >= self.log.floor
            audience.served(client, self.log.head(turn.standing.version) if held else Fresh.LOST)
        elif client.state is State.SERVED:
            self.hand_out(audience, turn)

    def hand_out(self, audience, turn):
        client, found = turn.client, turn.found
        if isinstance(turn.standing, Fresh) and not found:
            # That there is no device is told by telling nothing, even if there were some when it was told before.
            client.part = 0
            client.at = (self.log.number, turn.place.version)
        sent = 0
        while sent < min(len(found), BATCHES_IN_A_TURN) and client.way.writable:
            client.way.write(client.prefix.join(found[sent].pieces(client.lane)))
            sent += 1
        if sent == len(found):
            audience.served(client, turn.place)
        elif sent and found[sent - 1].place:
            audience.served(client, found[sent - 1].place)
        else:
            rest = (found[sent:], turn.place) if sent or client.rest else None
            audience.served(client, turn.standing, rest)

    # What always holds.

    @invariant()
    def who_is_live_was_told_everything(self):
        for client in self.clients:
            place = self.audiences[client.group].checkpoint(client)
            if place is not None:
                assert place == self.position.head
                client.assert_told_up_to(place)

    @invariant()
    def everybody_waits_for_something_that_comes(self):
        for group, audience in enumerate(self.audiences):
            due = {client for client in self.clients if client.group == group and client.state is State.DUE}
            assert due <= set(audience._due)
            assert not due or group in self.serving, "somebody sees to those who are due"
            for client in self.clients:
                if client.group != group:
                    continue
                match client.state:
                    case State.STALLED:
                        assert not client.way.writable
                    case State.SERVED:
                        assert self.turns[group].client is client
                    case State.AHEAD:
                        assert audience in self.position.expectant

    @invariant()
    def all_are_counted(self):
        for group, audience in enumerate(self.audiences):
            mine = [client for client in self.clients if client.group == group]
            assert sorted(map(id, audience)) == sorted(map(id, mine))
            counts = audience.statistics()
            assert counts.live == sum(client.state is State.LIVE for client in mine)
            assert counts.stalled == sum(client.state is State.STALLED for client in mine)
            assert counts.live + counts.behind + counts.stalled == len(mine) == len(audience)

    def teardown(self):
        """Let everything come to rest: then all have been told everything, and who leaves leaves nothing."""
        for client in self.clients:
            self.drained(client)
        while self.deliveries:
            self.write(10**6)
        if self.position.head != self.log.head():
            self.move(10**6, 1)
        while self.deliveries:
            self.write(10**6)
        while groups := self.waiting():
            if groups[0] in self.turns:
                self.end_turn(groups[0], failed=False)
            else:
                self.begin_turn(groups[0], 2)
        for client in self.clients:
            assert client.state is State.LIVE
            client.assert_told_up_to(self.log.head())
            self.audiences[client.group].leave(client)
        assert not self.position.expectant
        for audience in self.audiences:
            assert [len(audience), *audience._live, *audience._others, *audience._due] == [0]
        assert (self.unfinished.statistics().bytes, self.unfinished.statistics().kept) == (0, 0)


class TestAudience(AudienceMachine.TestCase):
    """However rounds, clients and turns come together, each is told every change that its group wants, once."""

    settings = settings(max_examples=150, stateful_step_count=50)


def test_who_has_left_is_told_nothing_more():
    """One who leaves in the middle of a fan-out is passed over from then on, and its leaving may be repeated."""
    machine = AudienceMachine()
    for _ in range(2):
        machine.join(0, LANES[0], 0, Fresh.ASKED, looked_up=True, writable=True)
    first, second = machine.clients
    machine.publish([frozenset([0])])
    machine.move(1, 1)
    machine.write(2)
    assert first.at == (1, 1)
    machine.audiences[0].leave(second)
    machine.clients.remove(second)
    machine.write(2)
    assert second.at == (1, 0)
    machine.teardown()


@pytest.mark.parametrize("fresh", Fresh)
def test_who_can_not_be_written_to_holds_nothing(fresh):
    """A subscriber whose socket is not writable gets no turn, and no batch is kept for it."""
    machine = AudienceMachine()
    machine.publish([frozenset([0])])
    machine.join(0, LANES[0], None, fresh, looked_up=True, writable=False)
    assert machine.audiences[0].next_due() is None
    (client,) = machine.clients
    assert (client.state, client.rest) == (State.STALLED, None)
    machine.teardown()


class Neighbour(Subscriber):
    """When it is told that it is level, somebody else is found to have expired, and leaves."""

    def __init__(self):
        super().__init__(Way(lambda _: None), LANES[0])
        self.other = None

    def on_level(self, place):
        if self.other and self.state is State.LIVE:
            self.other.audience.leave(self.other)


def test_one_who_leaves_as_another_becomes_live_is_gone():
    """Of two that wait for the group to finish going on, the second may leave as the first becomes live."""
    audience = Audience(Position(Head(1, Moment(1))), Unfinished(0), lambda: None)
    first, second = Neighbour(), Neighbour()
    first.other = second
    audience.begin_move()
    for subscriber in (first, second):
        audience.join(subscriber, Head(1, Moment(1)))
    audience.end_move()
    assert (first.state, second.state) == (State.LIVE, State.GONE)
    assert list(audience) == [first]


def test_one_who_leaves_before_its_turn_is_let_go():
    """While nobody has a turn, as the store is away, those who come and go leave nothing behind."""
    audience = Audience(Position(Head(1, Moment(1))), Unfinished(0), lambda: None)
    staying, *leaving = (Neighbour() for _ in range(3))
    for subscriber in (staying, *leaving):
        audience.join(subscriber, Fresh.ASKED)
    left = [weakref.ref(subscriber) for subscriber in leaving]
    while leaving:
        audience.leave(leaving.pop())
    del subscriber
    gc.collect()
    assert [each() for each in left] == [None, None]
    assert audience.next_due() is staying
    assert not audience.has_due
