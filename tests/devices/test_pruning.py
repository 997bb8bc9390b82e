"""Pruning: a prefix of the log goes, and nothing else is touched."""

import random
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphql_api.devices.cursor import Cursor
from graphql_api.devices.model import DeviceFilter, Pruned, Report, Status
from graphql_api.devices.pruning import _ADVISORY_LOCK
from graphql_api.devices.store import Store
from graphql_api.moment import SECOND, Moment
from tests.devices.conftest import DAWN, plain_engine

pytestmark = pytest.mark.anyio

EVERYTHING = DeviceFilter(statuses=frozenset(Status))
REPORTABLE = [status for status in Status if status is not Status.RETIRED]
RELAXED = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
ALL = 1_000_000


async def history_of(store, clock, school, rounds, dice=None):
    """Record rounds a second apart, and return the log."""
    dice = dice or random.Random(7)
    for number in range(rounds):
        clock.advance(1)
        names = dice.sample("abcdefgh", dice.randint(1, 5))
        reports = [Report(name, REPORTABLE[(number + ord(name)) % len(REPORTABLE)]) for name in names]
        await store.record(school, list(enumerate(reports)))
    return await store.changes(school, after=0, limit=ALL)


async def held(store, change):
    """Whether the cursor after this change is still good."""
    position = await store.position(change.school, change.version)
    cursor = Cursor(store.epoch, change.school, change.version, change.timestamp)
    return cursor.is_held(position)


async def pruned_to_the_end(store, older_than, limit):
    """Prune step by step until nothing is left to do; how much went, in steps within the limit."""
    total = 0
    while True:
        step = await store.prune(older_than, limit)
        assert step.changes <= limit
        total += step.changes
        if step.done:
            return total
        assert step.changes


@RELAXED
@given(
    seed=st.integers(0, 2**32),
    rounds=st.lists(st.integers(1, 6), min_size=1, max_size=3),
    second=st.integers(-1, 20),
    past=st.integers(0, 1),
    limit=st.integers(1, 9) | st.just(500),
)
async def test_a_prefix_goes_and_the_rest_stays(store, clock, seed, rounds, second, past, limit):
    """Pruned at any moment, each log is a suffix without holes from its floor to its head, all else as it was."""
    clock.moment = DAWN
    dice = random.Random(seed)
    logs = {school: await history_of(store, clock, school, n, dice) for n in rounds for school in [uuid.uuid4().hex]}
    older_than = Moment(DAWN + second * SECOND + past)
    snapshots = {school: await store.snapshot(school, EVERYTHING) for school in logs}
    await pruned_to_the_end(store, older_than, limit)
    for school, log in logs.items():
        kept = [change for change in log[:-1] if change.timestamp >= older_than] + log[-1:]
        assert await store.changes(school, after=0, limit=ALL) == kept
        assert await store.snapshot(school, EVERYTHING) == snapshots[school]
        floor = (await store.position(school, 1)).floor
        assert floor == kept[0].version
        assert [await held(store, change) for change in log] == [change.version >= floor for change in log]
        beginning = Cursor(store.epoch, school, 0, Moment(0))
        position = await store.position(school, 0)
        assert beginning.is_held(position) is (floor == 1)


async def test_the_last_change_stays_however_old(store, clock):
    """A client that has seen everything can still prove it when the whole history is too old."""
    log = await history_of(store, clock, "s", 4)
    clock.advance(10**7)
    assert await store.prune(clock.moment, 500) == Pruned(len(log) - 1, done=True)
    assert await store.prune(clock.moment, 500) == Pruned(0, done=True)
    assert await store.changes("s", after=0, limit=ALL) == log[-1:]
    assert await held(store, log[-1])


async def test_recording_goes_on_after_the_log_was_pruned(store, clock):
    """Versions go on where they were, and later pruning takes the change that was kept."""
    log = await history_of(store, clock, "s", 4)
    await store.prune(clock.advance(10), 500)
    recorded = await store.record("s", [(0, Report("new", Status.ONLINE))])
    assert recorded.round.first == log[-1].version + 1
    assert await store.prune(clock.advance(10), 500) == Pruned(1, done=True)
    assert await store.changes("s", after=0, limit=ALL) == list(recorded.round.changes)


async def test_a_step_is_bounded_over_all_schools(store, clock):
    """One step deletes no more than its limit, whatever the number of schools, and says that there is more."""
    for school in ("a", "b", "c"):
        await store.record(school, [(index, Report(f"d{index}", Status.ONLINE)) for index in range(5)])
    clock.advance(10)
    steps = [await store.prune(clock.moment, 5) for _ in range(4)]
    assert steps == [Pruned(5, done=False), Pruned(5, done=False), Pruned(2, done=True), Pruned(0, done=True)]


async def test_many_schools_take_several_steps(store, clock):
    """More schools than one step looks at are all pruned in the end."""
    schools = [f"s{number:03}" for number in range(120)]
    for school in schools:
        await store.record(school, [(0, Report("a", Status.ONLINE)), (1, Report("b", Status.ONLINE))])
    assert await pruned_to_the_end(store, clock.advance(10), 500) == len(schools)
    assert {(await store.position(school, 2)).floor for school in schools} == {2}


async def test_history_ends_where_the_log_does(store, clock):
    """The history of a device holds what is left, and says that there is no more."""
    for status in (Status.ONLINE, Status.OFFLINE, Status.DEGRADED):
        clock.advance(10)
        await store.record("s", [(0, Report("a", status))])
    await store.prune(clock.moment, 500)
    page = await store.history("s", "a", since=None, first=10, before=None)
    assert [change.status for change in page.changes] == [Status.DEGRADED]
    assert not page.has_next


async def test_two_processes_do_not_prune_at_once(postgresql_url, clock):
    """While another process prunes, a step does nothing and says that it is done."""
    store = await Store.open(postgresql_url, clock=clock)
    await history_of(store, clock, "s", 4)
    clock.advance(10)
    with plain_engine(postgresql_url) as engine, engine.begin() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
        assert await store.prune(clock.moment, 500) == Pruned(0, done=True)
    assert (await store.prune(clock.moment, 500)).changes
    await store.close()


async def test_a_school_that_is_being_written_to_is_left_for_later(postgresql_url, clock):
    """Pruning waits for no school: one whose row another transaction holds is passed over, the others are not."""
    store = await Store.open(postgresql_url, clock=clock)
    for school in ("a", "b"):
        await history_of(store, clock, school, 4)
    clock.advance(10)
    with plain_engine(postgresql_url) as engine, engine.begin() as connection:
        connection.exec_driver_sql("SELECT 1 FROM school WHERE school_id = 'a' FOR UPDATE")
        assert (await store.prune(clock.moment, 500)).done
    assert [(await store.position(school, 1)).floor > 1 for school in ("a", "b")] == [False, True]
    await store.close()
