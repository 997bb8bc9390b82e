"""Devices that nobody reports: the rule, and what the store makes of it."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.devices.model import Change, Device, Head, Report, Status
from graphql_api.devices.recording import CAN_GO_STALE, mark_stale
from graphql_api.devices.store import Store
from graphql_api.moment import SECOND, Moment
from tests.devices.conftest import DAWN

pytestmark = pytest.mark.anyio

moments = st.sampled_from([Moment(DAWN + offset) for offset in (-2, -1, 0, 1, 2)])


@given(
    st.lists(st.tuples(st.sampled_from(Status), moments, moments, moments)),
    moments,
    st.builds(Head, st.just(7), moments, st.none() | moments),
    moments,
)
def test_the_rule(drawn, silent_since, head, now):
    """Just the online, degraded and offline devices reported by then become UNKNOWN, each by one change, times kept."""
    devices = [Device("s", f"d{index}", *each, version=index) for index, each in enumerate(drawn)]
    decision = mark_stale(devices, silent_since=silent_since, head=head, now=now)
    stale = [one for one in devices if one.status in CAN_GO_STALE and one.reported_at <= silent_since]
    timestamp = max(now, head.timestamp)
    assert decision.changes == tuple(
        Change("s", version, one.device_id, Status.UNKNOWN, one.status, one.last_seen, one.reported_at, timestamp)
        for version, one in enumerate(stale, 8)
    )
    assert decision.touched == ()
    assert decision.head == (Head(7 + len(stale), timestamp, head.last_report_at) if stale else head)


async def of_each_status(store, school="s"):
    """A school with a device of each status, all reported now."""
    reportable = [status for status in Status if status is not Status.RETIRED]
    reports = [Report(status.lower(), status) for status in reportable]
    await store.record(school, list(enumerate([*reports, Report("retired", Status.ONLINE)])))
    await store.retire(school, ["retired"])


async def test_only_what_somebody_should_report_goes_stale(store, clock):
    """Of all statuses, ONLINE, DEGRADED and OFFLINE become UNKNOWN, and report times stay as they were."""
    await of_each_status(store)
    before = (await store.heads(["s"]))["s"]
    reported = clock.moment
    clock.advance(60)
    marked = await store.mark_stale("s", silent_since=reported, limit=1_000)
    assert {change.device_id: change.previous for change in marked.round.changes} == {
        "online": Status.ONLINE,
        "degraded": Status.DEGRADED,
        "offline": Status.OFFLINE,
    }
    assert marked.head == Head(before.version + 3, clock.moment, before.last_report_at)
    assert marked.head == (await store.heads(["s"]))["s"]
    assert await store.changes("s", after=before.version, limit=10) == list(marked.round.changes)
    online = await store.device("s", "online")
    assert online == Device("s", "online", Status.UNKNOWN, reported, clock.moment, reported, online.version)
    assert (await store.device("s", "maintenance")).status is Status.MAINTENANCE
    assert (await store.device("s", "retired")).status is Status.RETIRED


async def test_what_is_reported_in_time_stays(store, clock):
    """A device reported after the given moment stays as it is, and a school without stale ones is not named."""
    await of_each_status(store)
    just_before = Moment(clock.moment - 1)
    assert await store.stale_schools(just_before) == []
    assert (await store.mark_stale("s", silent_since=just_before, limit=1_000)).round is None
    assert await store.stale_schools(clock.moment) == ["s"]


async def test_there_is_nothing_to_do_twice(store, clock):
    """Once marked, devices are not found again, by school or one by one."""
    await of_each_status(store)
    await store.mark_stale("s", silent_since=clock.moment, limit=1_000)
    assert await store.stale_schools(clock.moment) == []
    assert (await store.mark_stale("s", silent_since=clock.moment, limit=1_000)).round is None


async def test_rounds_are_bounded(store, clock):
    """At most so many devices as asked for go stale in one transaction, in the order of their ids."""
    await store.record("s", [(index, Report(f"d{index}", Status.ONLINE)) for index in range(5)])
    rounds = [await store.mark_stale("s", silent_since=clock.moment, limit=2) for _ in range(3)]
    assert [[change.device_id for change in one.round.changes] for one in rounds] == [
        ["d0", "d1"],
        ["d2", "d3"],
        ["d4"],
    ]


@pytest.mark.parametrize("later", [0, 1])
async def test_a_stale_device_comes_back_with_its_next_report(store, clock, later):
    """A report of the moment last known, or of a later one, brings a stale device back; an older one does not."""
    await store.record("s", [(0, Report("a", Status.ONLINE))])
    reported = clock.moment
    clock.advance(60)
    await store.mark_stale("s", silent_since=reported, limit=10)
    older = await store.record("s", [(0, Report("a", Status.ONLINE, Moment(reported - SECOND)))])
    assert (older.stale, older.changed) == (1, 0)
    back = await store.record("s", [(0, Report("a", Status.ONLINE, Moment(reported + later)))])
    assert [(change.previous, change.status) for change in back.round.changes] == [(Status.UNKNOWN, Status.ONLINE)]


async def test_several_processes_mark_each_device_once(database_url, clock):
    """Two stores on one database that look at the same moment make one change for each device between them."""
    stores = [await Store.open(database_url, clock=clock) for _ in range(2)]
    await stores[0].record("s", [(index, Report(f"d{index}", Status.ONLINE)) for index in range(100)])
    calls = [store.mark_stale("s", silent_since=clock.moment, limit=1_000) for store in stores * 3]
    marked = await asyncio.gather(*calls)
    assert sorted(one.changed for one in marked) == [0, 0, 0, 0, 0, 100]
    assert len(await stores[0].changes("s", after=0, limit=1_000)) == 200
    for store in stores:
        await store.close()
