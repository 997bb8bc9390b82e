"""A group's turns, where a log is another one, or fails, in the middle of them."""

import asyncio
import dataclasses
from contextlib import asynccontextmanager

import pytest

from graphql_api.delivery.audience import Position, State
from graphql_api.delivery.expiries import Expiries
from graphql_api.delivery.group import Group
from graphql_api.delivery.rendered import RenderedResults
from graphql_api.delivery.unfinished import Unfinished
from graphql_api.devices.cursor import Cursor
from graphql_api.devices.model import Change, DeviceFilter, Head, Status, Summary
from graphql_api.devices.watches import Fresh, Item, Step, SummaryWatch, Watch
from graphql_api.errors import Unavailable
from graphql_api.moment import SECOND, Moment, now
from tests.listening import Listener, Told

pytestmark = pytest.mark.anyio

OLD = Head(5, Moment(5))
NEW = Head(9, Moment(9))
TEN = Head(10, Moment(10))


class ScriptedLog:
    """A log of which a test says what it finds of a cursor, and when."""

    newest = NEW

    def __init__(self):
        self.looked_up = asyncio.Queue()

    async def look_up(self, cursor):
        return await taken(self.looked_up)

    def cursor(self, place):
        return Cursor("epoch", "s", place.version, place.timestamp).encode()


class ScriptedWatch(Watch):
    """Tells what a test says, when it says so."""

    def __init__(self):
        super().__init__("s", DeviceFilter())
        self.asked = asyncio.Queue()
        self.answers = asyncio.Queue()

    def resume(self, log, place):
        return place or Fresh.LOST

    def live(self, log, changes, head):
        return [Item(f"to {head.version}", head, None) for _ in changes]

    async def behind(self, log, standing):
        self.asked.put_nowait(standing)
        return await taken(self.answers)


async def taken(queue):
    found = await queue.get()
    if isinstance(found, Exception):
        raise found
    return found


class Words:
    """Renders what a watch tells as it is."""

    def __init__(self):
        self.watch = ScriptedWatch()

    async def render(self, item):
        return item.value.encode(), True

    async def close(self):
        """Nothing is held."""


@asynccontextmanager
async def opened(renderer, log, position):
    expiries = Expiries(now)
    async with asyncio.TaskGroup() as tasks:
        group = Group(
            renderer,
            log,
            position,
            rendered=RenderedResults(10**6),
            unfinished=Unfinished(10**6),
            expiries=expiries,
            tasks=tasks,
        )
        yield group
        await group.close()
    expiries.close()


@pytest.fixture
async def group():
    async with opened(Words(), ScriptedLog(), Position(NEW)) as group:
        yield group


@pytest.fixture
def listener(group):
    """One who stands in the old log, and whose turn has begun."""
    listener = Listener(lambda text: Told(text, None))
    # As a member of a sharing finds its group.
    listener.share = type("Share", (), {"group": group})
    group.audience.join(listener, OLD)
    return listener


@pytest.mark.parametrize("answer", [Unavailable("gone"), Step([Item("old", OLD, None, version=9)], OLD)])
async def test_a_turn_that_a_reset_interrupts_leads_nowhere(group, listener, answer):
    """However a turn ends during which the log became another one, its subscriber is not recovered, and is told so."""
    assert await group.watch.asked.get() == OLD
    group.reset(NEW)
    group.watch.answers.put_nowait(answer)
    assert await group.watch.asked.get() is Fresh.LOST
    group.watch.answers.put_nowait(Step([Item("new", NEW, None, version=9)], NEW))
    assert await listener.next() == "new"
    await listener.live.wait()
    assert listener.received == ["new"]


class Counted(ScriptedLog):
    """A log in which one device has come online with each change up to the newest one."""

    async def summary(self):
        return Summary(self.newest, {Status.ONLINE: self.newest.version})


class Counts(Words):
    """Renders summaries as the number of devices online."""

    def __init__(self):
        self.watch = SummaryWatch("s")

    async def render(self, item):
        return str(item.value.counts[Status.ONLINE]).encode(), True


async def come_to(group, position, head, bring):
    """As the hub does when the log has moved."""
    group.audience.begin_move()
    position.move(head)
    await bring()


async def test_who_was_told_of_a_summary_before_a_round_was_missed_is_told_of_the_next_one():
    """One who knows the counts already as its group misses a round is told of every round that comes after it."""
    position = Position(OLD)
    async with opened(Counts(), Counted(), position) as group:
        listener = Listener(lambda text: Told(int(text), None))
        listener.share = type("Share", (), {"group": group})
        group.admit(listener, ())
        assert await listener.next() == NEW.version
        await come_to(group, position, NEW, lambda: asyncio.sleep(0, group.miss(NEW)))
        assert listener.state is State.LIVE
        change = Change("s", 10, "d", Status.ONLINE, None, Moment(10), Moment(10), Moment(10))
        await come_to(group, position, TEN, lambda: group.deliver([change], TEN))
        assert await listener.next() == TEN.version


@pytest.mark.logs_errors
async def test_one_who_cannot_be_written_to_is_served_again_and_nobody_else():
    """When writing to one subscriber fails, those before and after it are told once, and it from the log."""
    position = Position(NEW)
    async with opened(Words(), ScriptedLog(), position) as group:
        listeners = [Listener(lambda text: Told(text, None)) for _ in range(3)]
        for listener in listeners:
            listener.share = type("Share", (), {"group": group})
            group.audience.join(listener, NEW)
        broken, write = listeners[1].way, listeners[1].way.write

        def fail(data):
            broken.write = write
            raise RuntimeError("closed under us")

        broken.write = fail
        change = Change("s", 10, "d", Status.ONLINE, None, Moment(10), Moment(10), Moment(10))
        await come_to(group, position, TEN, lambda: group.deliver([change], TEN))
        assert await group.watch.asked.get() == NEW
        group.watch.answers.put_nowait(Step([Item("to 10", TEN, None)], TEN))
        assert [await listener.next() for listener in listeners] == ["to 10"] * 3
        assert [listener.received for listener in listeners] == [["to 10"]] * 3


async def test_what_was_written_before_a_write_failed_is_not_written_again(monkeypatch):
    """When writing fails in the middle of a turn, its subscriber goes on from what it got, and gets nothing twice."""
    monkeypatch.setattr("graphql_api.delivery.frames.BATCH_LIMIT", 1)
    position = Position(NEW)
    async with opened(Words(), ScriptedLog(), position) as group:
        listener = Listener(lambda text: Told(text, None))
        listener.share = type("Share", (), {"group": group})
        write, written = listener.way.write, []

        def fail_once(data):
            written.append(data)
            if len(written) == 2:
                raise RuntimeError("closed under us")
            write(data)

        listener.way.write = fail_once
        group.audience.join(listener, OLD)
        places = [Head(version, Moment(version)) for version in range(6, 10)]
        assert await group.watch.asked.get() == OLD
        group.watch.answers.put_nowait(Step([Item(f"to {each.version}", each, None) for each in places], NEW))
        assert await group.watch.asked.get() == places[0]
        group.watch.answers.put_nowait(Step([Item(f"to {each.version}", each, None) for each in places[1:]], NEW))
        await listener.live.wait()
        assert listener.received == ["to 6", "to 7", "to 8", "to 9"]


class Reported(Counted):
    """A log of which a test says when the health checker has last reported."""

    def report(self, moment):
        """It reports that all is as it was; returns where the log ends now."""
        self.newest = dataclasses.replace(self.newest, last_report_at=Moment(moment * SECOND))
        return self.newest


class Times(Counts):
    """Renders summaries as the second of the last report."""

    async def render(self, item):
        return str(item.value.head.last_report_at // SECOND).encode(), True


@asynccontextmanager
async def told_the_time(count):
    """A group of summaries, with so many subscribers who are live, and know of the report at 100 s."""
    log = Reported()
    position = Position(log.report(100))
    async with opened(Times(), log, position) as group:
        listeners = [Listener(lambda text: Told(int(text), None)) for _ in range(count)]
        for listener in listeners:
            listener.share = type("Share", (), {"group": group})
            group.admit(listener, ())
            assert await listener.next() == 100
        yield group, log, position, listeners


async def test_who_takes_nothing_as_the_time_is_told_is_told_it_afterwards():
    """One who was not writable when the last report was told, and nothing else, is told of it when it takes it."""
    async with told_the_time(1) as (group, log, position, [listener]):
        listener.stall()
        await come_to(group, position, log.report(120), lambda: group.deliver((), position.head))
        listener.drain()
        assert await listener.next() == 120


async def test_who_catches_up_later_than_others_is_told_the_last_time_of_all():
    """One who catches up where another one did before is told of a report that came in between, too."""
    async with told_the_time(2) as (group, log, position, [quick, slow]):
        quick.stall()
        slow.stall()
        log.newest = TEN
        change = Change("s", 10, "d", Status.ONLINE, None, Moment(10), Moment(10), Moment(10))
        await come_to(group, position, log.report(101), lambda: group.deliver([change], position.head))
        quick.drain()
        assert await quick.next() == 101
        await come_to(group, position, log.report(120), lambda: group.deliver((), position.head))
        assert await quick.next() == 120
        slow.drain()
        while await slow.next() != 120:
            pass


async def test_who_is_served_as_the_time_is_told_is_told_it_afterwards():
    """One whose counts were on their way when the last report was told to the others is told of it, too."""
    async with told_the_time(1) as (group, log, position, [listener]):
        other = Listener(lambda text: Told(int(text), None))
        other.share = listener.share
        # Its turn comes as the group is going on, with the counts of before.
        group.audience.begin_move()
        group.admit(other, ())
        assert await other.next() == 100
        position.move(log.report(120))
        await group.deliver((), position.head)
        assert [await each.next() for each in (listener, other)] == [120, 120]
