"""Signs of life, on a time of the test's own."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from graphql_api.delivery import heartbeat as module
from graphql_api.delivery.heartbeat import Heartbeat

pytestmark = pytest.mark.anyio

PARTS = module._PARTS


class Connection:
    def __init__(self, on_alive=None):
        self.signs = 0
        self._on_alive = on_alive

    def keep_alive(self):
        self.signs += 1
        if self._on_alive:
            self._on_alive()


class Time:
    """A loop's time, which goes on when the test says so."""

    def __init__(self):
        self.now = 0.0
        self.pauses = []
        self._gates = asyncio.Queue()

    def get_running_loop(self):
        return SimpleNamespace(time=lambda: self.now)

    async def sleep(self, seconds):
        gate = asyncio.Event()
        self.pauses.append(seconds)
        self._gates.put_nowait(gate)
        await gate.wait()
        self.now += seconds

    async def parts(self, count):
        """Let so many parts of the interval go by, and their connections have their turns."""
        for _ in range(count):
            (await self._gates.get()).set()
            while self._gates.empty():  # noqa: ASYNC110 - until it sleeps again
                await asyncio.sleep(0)


@pytest.fixture
async def time(monkeypatch):
    time = Time()
    monkeypatch.setattr(module, "asyncio", time)
    return time


@pytest.fixture
async def heartbeat(time):
    heartbeat = Heartbeat(16.0)
    running = asyncio.create_task(heartbeat.run())
    yield heartbeat
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_each_has_one_turn_in_an_interval(heartbeat, time):
    """Whenever connections came, each gives a sign of life once an interval, the first a whole interval later."""
    connections = []
    for _ in range(PARTS):
        connections.append(Connection())
        heartbeat.add(connections[-1])
        await time.parts(1)
    # The first one's interval is over, the last one came a part ago.
    assert [each.signs for each in connections] == [1] + [0] * (PARTS - 1)
    for interval in (1, 2):
        await time.parts(PARTS - 1)
        assert {each.signs for each in connections} == {interval}
        await time.parts(1)
        assert connections[0].signs == interval + 1
    assert set(time.pauses) == {1.0}


async def test_who_has_gone_gives_no_sign(heartbeat, time):
    """One who is removed is not called, also when another one's turn removes it in the very part that is under way."""
    places = {}
    second = Connection()
    first = Connection(on_alive=lambda: heartbeat.remove(places[second], second))
    for each in (first, second):
        places[each] = heartbeat.add(each)
    await time.parts(PARTS)
    assert (first.signs, second.signs) == (1, 0)
    for _ in range(2):
        heartbeat.remove(places[first], first)
    assert len(heartbeat) == 0
    await time.parts(PARTS)
    assert first.signs == 1


@pytest.mark.logs_errors
async def test_a_defect_of_one_does_not_keep_the_others(heartbeat, time, caplog):
    """Where a sign of life fails, the others give theirs, and so does it the next time."""
    failures = iter([True])

    def fail_once():
        if next(failures, False):
            raise ZeroDivisionError

    first, second = Connection(fail_once), Connection()
    heartbeat.add(first)
    heartbeat.add(second)
    await time.parts(2 * PARTS)
    assert (first.signs, second.signs) == (2, 2)
    assert "could not be given" in caplog.text


async def test_lost_time_is_not_made_up_for(heartbeat, time):
    """After the loop stood still for long, connections are called once an interval as before, not all at once."""
    connection = Connection()
    heartbeat.add(connection)
    time.now += 160.0
    await time.parts(PARTS)
    assert connection.signs == 1
    await time.parts(PARTS)
    assert connection.signs == 2
    # The part that was due meanwhile follows at once; the others keep their distance.
    assert time.pauses[1:] == [0.0] + [1.0] * (len(time.pauses) - 2)
