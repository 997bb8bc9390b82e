"""What the store promises, on SQLite and on PostgreSQL."""

import random
from collections import Counter

import anyio
import pytest

from graphql_api.devices.model import DeviceFilter, Head, HistoryPage, Rejected, Report, Status
from graphql_api.devices.store import Store
from graphql_api.errors import BadUserInput
from graphql_api.moment import MINUTE, SECOND, Moment

pytestmark = pytest.mark.anyio

REPORTABLE = [status for status in Status if status is not Status.RETIRED]
EVERYTHING = DeviceFilter(statuses=frozenset(Status))
BY_CODE_POINT = ["1", "A", "Z", "Zä", "a", "a-b", "aa", "z", "Ä", "ä", "é", "ﬁ", "😀", "😀a"]


def numbered(*reports):
    return list(enumerate(reports))


async def whole_log(store, school):
    return await store.changes(school, after=0, limit=100_000)


def folded(log):
    """The devices as the log tells them, in the order of their ids."""
    devices = {change.device_id: change.device for change in log}
    return tuple(devices[device_id] for device_id in sorted(devices))


def without_times(devices):
    """Reports that change nothing move times without a trace in the log."""
    return [(one.device_id, one.status, one.changed_at, one.version) for one in devices]


async def test_first_reports_make_devices_known(store, clock):
    """A first report is a change from nothing, and what record returns is what is read back."""
    recorded = await store.record("s", numbered(Report("b", Status.ONLINE), Report("a", Status.OFFLINE)))
    assert (recorded.changed, recorded.created) == (2, 2)
    assert recorded.head == Head(2, clock.moment, clock.moment)
    assert recorded.round.last_report_at == clock.moment
    assert await whole_log(store, "s") == list(recorded.round.changes)
    assert [change.previous for change in recorded.round.changes] == [None, None]
    assert await store.device("s", "b") == recorded.round.changes[0].device
    assert await store.device("s", "c") is None
    assert await store.device("other", "b") is None


async def test_a_round_without_a_change_moves_times_only(store, clock):
    """Repeated statuses append nothing to the log, while reported_at, last_seen and last_report_at move on."""
    first = await store.record("s", numbered(Report("a", Status.ONLINE), Report("b", Status.OFFLINE)))
    later = clock.advance(5)
    second = await store.record("s", numbered(Report("a", Status.ONLINE), Report("b", Status.OFFLINE)))
    assert (second.changed, second.unchanged, second.round) == (0, 2, None)
    assert second.head == Head(2, first.head.timestamp, later)
    assert await store.heads(["s"]) == {"s": second.head}
    assert len(await whole_log(store, "s")) == 2
    a, b = await store.device("s", "a"), await store.device("s", "b")
    assert (a.reported_at, a.last_seen, a.version) == (later, later, 1)
    assert (b.reported_at, b.last_seen, b.version) == (later, first.head.timestamp, 2)


async def test_timestamps_never_go_back_with_the_clock(store, clock):
    """A clock that was set back neither moves timestamps back nor makes reports stale."""
    await store.record("s", numbered(Report("a", Status.ONLINE)))
    before = clock.moment
    clock.advance(-3600)
    recorded = await store.record("s", numbered(Report("a", Status.OFFLINE)))
    assert recorded.head == Head(2, before, before)
    assert recorded.stale == 0


async def test_an_invalid_report_refuses_the_round(store, clock):
    """One invalid report, found here or before, leaves nothing recorded and every problem listed in order."""
    late = clock.moment + MINUTE + SECOND
    reports = [(0, Report("a", Status.ONLINE)), (2, Report("b", Status.ONLINE, late)), (3, Report("a", Status.ONLINE))]
    with pytest.raises(BadUserInput, match="3 of 4 reports are invalid; nothing was recorded") as caught:
        await store.record("s", reports, rejected=[Rejected(1, "?", "No id.")])
    assert [problem["index"] for problem in caught.value.problems] == [1, 2, 3]
    with pytest.raises(BadUserInput, match="1 of 1 report is invalid"):
        await store.record("s", [], rejected=[Rejected(0, "?", "No id.")])
    assert await store.heads(["s"]) == {}
    assert await store.schools() == []
    assert await store.snapshot("s", EVERYTHING) == await store.snapshot("nowhere", EVERYTHING)


async def test_invalid_reports_may_be_skipped(store, clock):
    """With skip_invalid the valid reports are recorded, the others listed in the order of the round."""
    reports = [(0, Report("a", Status.RETIRED)), (2, Report("b", Status.ONLINE))]
    recorded = await store.record("s", reports, skip_invalid=True, rejected=[Rejected(1, "?", "No id.")])
    assert recorded.changed == 1
    assert [one.index for one in recorded.rejected] == [0, 1]


async def test_unknown_devices_may_be_refused(database_url, clock):
    """A store opened with unknown_devices="reject" makes no device known by a report."""
    store = await Store.open(database_url, unknown_devices="reject", clock=clock)
    with pytest.raises(BadUserInput):
        await store.record("s", numbered(Report("a", Status.ONLINE)))
    await store.close()


async def test_retired_devices_ignore_reports_until_restored(store, clock):
    """Retiring and restoring are changes in the log, once each, and reports in between are ignored."""
    await store.record("s", numbered(Report("a", Status.ONLINE), Report("b", Status.ONLINE)))
    before = await store.device("s", "a")
    clock.advance(5)
    retired = await store.retire("s", ["a", "b", "a"])
    assert [(one.device_id, one.status) for one in retired.devices] == [("a", Status.RETIRED), ("b", Status.RETIRED)]
    assert retired.devices[0].last_seen == before.last_seen
    assert (retired.head.version, retired.round.first, retired.round.last) == (4, 3, 4)
    assert (await store.retire("s", ["a"])).round is None
    ignored = await store.record("s", numbered(Report("a", Status.OFFLINE)))
    assert (ignored.ignored, ignored.round) == (1, None)
    restored = await store.restore("s", ["a"])
    assert [(one.previous, one.status) for one in restored.round.changes] == [(Status.RETIRED, Status.UNKNOWN)]
    assert await store.device("s", "a") == restored.devices[0]
    with pytest.raises(BadUserInput, match="z"):
        await store.retire("s", ["b", "z"])
    assert (await store.heads(["s"]))["s"] == restored.head


async def test_lists_hold_what_the_filter_lists(store):
    """Snapshots and pages hold just the devices that DeviceFilter.lists names, for every kind of filter."""
    await store.record("s", numbered(*(Report(f"{status.value}-{n}", status) for status in REPORTABLE for n in (1, 2))))
    await store.record("t", numbered(Report("elsewhere", Status.ONLINE)))
    await store.retire("s", ["ONLINE-1"])
    everything = await store.snapshot("s", EVERYTHING)
    filters = [
        DeviceFilter(ids, statuses)
        for ids in (None, frozenset(), frozenset({"ONLINE-1", "OFFLINE-2", "elsewhere"}))
        for statuses in (None, frozenset(), frozenset({Status.ONLINE, Status.OFFLINE}), frozenset({Status.RETIRED}))
    ]
    for wanted in filters:
        expected = tuple(one for one in everything.devices if wanted.lists(one.device_id, one.status))
        assert await store.snapshot("s", wanted) == type(everything)(everything.head, expected), wanted
        page = await store.page("s", wanted, first=100, after=None)
        assert (page.devices, page.total, page.head) == (expected, len(expected), everything.head), wanted


async def test_a_filter_may_name_thousands_of_devices(store):
    """Five thousand ids in a filter, and a thousand schools in one question, are one statement each."""
    await store.record("s", numbered(Report("d77", Status.ONLINE)))
    wanted = DeviceFilter(device_ids=frozenset(f"d{n}" for n in range(5_000)))
    assert [one.device_id for one in (await store.snapshot("s", wanted)).devices] == ["d77"]
    assert list(await store.heads([f"x{n}" for n in range(1_000)] + ["s"])) == ["s"]


async def test_ids_sort_by_code_point(store):
    """Devices and schools come in the order of Python's strings, whatever alphabet they are written in."""
    shuffled = random.Random(1).sample(BY_CODE_POINT, len(BY_CODE_POINT))
    await store.record("s", numbered(*(Report(device_id, Status.ONLINE) for device_id in shuffled)))
    assert [one.device_id for one in (await store.snapshot("s", EVERYTHING)).devices] == sorted(BY_CODE_POINT)
    for school in shuffled[:6]:
        await store.record(school, numbered(Report("d", Status.ONLINE)))
    assert await store.schools() == sorted([*shuffled[:6], "s"])


@pytest.mark.parametrize("first", [1, 3, 13, 14, 15])
async def test_paging_walks_every_device_once(store, first):
    """Following the pages from the start meets every device once, in order, and knows where the end is."""
    await store.record("s", numbered(*(Report(device_id, Status.ONLINE) for device_id in BY_CODE_POINT)))
    met, after, more = [], None, True
    while more:
        page = await store.page("s", DeviceFilter(), first=first, after=after)
        assert page.total == len(BY_CODE_POINT)
        met += [one.device_id for one in page.devices]
        after, more = met[-1], page.has_next
    assert met == sorted(BY_CODE_POINT)


async def test_history_is_newest_first_and_bounded(store, clock):
    """A device's history pages backwards by version, ends at `since`, and holds no other device."""
    for n in range(6):
        status = REPORTABLE[n % 2]
        await store.record("s", numbered(Report("a", status), Report("b", status)))
        clock.advance(10)
    mine = [change for change in reversed(await whole_log(store, "s")) if change.device_id == "a"]
    page = await store.history("s", "a", since=None, first=4, before=None)
    assert (list(page.changes), page.has_next) == (mine[:4], True)
    page = await store.history("s", "a", since=None, first=4, before=mine[3].version)
    assert (list(page.changes), page.has_next) == (mine[4:], False)
    page = await store.history("s", "a", since=mine[2].timestamp, first=3, before=None)
    assert (list(page.changes), page.has_next) == (mine[:3], False)


async def history_in_pages(store, device_id, size):
    """All pages of a device's history, each asked for by the end of the one before."""
    pages = [await store.history("s", device_id, since=None, first=size, before=None)]
    while pages[-1].has_next:
        last = pages[-1].changes[-1].version
        pages.append(await store.history("s", device_id, since=None, first=size, before=last))
    return [change for page in pages for change in page.changes]


async def test_histories_are_the_log_by_device(store, clock):
    """Whatever moves a device, and however much was pruned, its pages are its part of the log, backwards."""
    chance = random.Random(11)
    ids = [f"d{n}" for n in range(9)]
    for step in range(60):
        now = clock.advance(1)
        chosen = chance.sample(ids, chance.randrange(1, 9))
        if step % 10 < 7:
            await store.record("s", numbered(*(Report(one, chance.choice(REPORTABLE)) for one in chosen)))
        elif step % 10 == 9:
            await store.mark_stale("s", silent_since=Moment(now - SECOND), limit=3)
        else:
            known = [
                one.device_id for one in (await store.snapshot("s", EVERYTHING)).devices if one.device_id in chosen
            ]
            await chance.choice([store.retire, store.restore])("s", known)
        if step == 40:
            await store.prune(Moment(now - 20 * SECOND), limit=100_000)
    log = await whole_log(store, "s")
    assert log[0].version > 1
    for device_id in [*ids, "unknown"]:
        mine = [change for change in reversed(log) if change.device_id == device_id]
        for size in (1, 4, 100):
            assert await history_in_pages(store, device_id, size) == mine
        assert await store.history("s", device_id, since=None, first=0, before=None) == HistoryPage((), bool(mine))


async def test_nothing_is_before_a_change_of_another_device(store):
    """A version that is not one of the device's own changes is no place in its history."""
    for status in REPORTABLE[:3]:
        await store.record("s", numbered(Report("a", status), Report("b", status)))
    for version in (0, 4, 7, 2**62):
        page = await store.history("s", "a", since=None, first=9, before=version)
        assert page == HistoryPage((), has_next=False)


async def test_summary_counts_every_status(store):
    """The summary counts the devices by status, the retired among them, at the head it names."""
    assert (await store.summary("s")).counts == {}
    rounds = numbered(*(Report(f"d{n}", REPORTABLE[n % 3]) for n in range(8)))
    await store.record("s", rounds)
    retired = await store.retire("s", ["d0"])
    summary = await store.summary("s")
    assert summary.head == retired.head
    assert summary.counts == {REPORTABLE[0]: 2, REPORTABLE[1]: 3, REPORTABLE[2]: 2, Status.RETIRED: 1}


async def test_changes_come_in_pages(store):
    """The log is read from any version on, ascending, as many as asked for."""
    await store.record("s", numbered(*(Report(f"d{n}", Status.ONLINE) for n in range(7))))
    assert [one.version for one in await store.changes("s", after=2, limit=3)] == [3, 4, 5]
    assert await store.changes("s", after=7, limit=3) == []


async def publish(store, seed, recorded):
    chance = random.Random(seed)
    for _ in range(12):
        school = chance.choice(["s", "t"])
        ids = chance.sample([f"d{n}" for n in range(12)], chance.randrange(1, 9))
        if chance.random() < 0.15 and (known := (await store.snapshot(school, EVERYTHING)).devices):
            act = chance.choice([store.retire, store.restore])
            result = await act(school, [one.device_id for one in known[:2]])
        else:
            result = await store.record(school, numbered(*(Report(one, chance.choice(REPORTABLE)) for one in ids)))
        if result.round:
            recorded[school] += result.round.changes


async def test_rounds_of_many_publishers_make_one_log(database_url, clock):
    """Publishers in two stores at once make versions without holes, rising timestamps, a log that folds to truth."""
    chance = random.Random(7)
    recorded, snapshots, done = {"s": [], "t": []}, [], anyio.Event()

    def jumping():
        return clock.advance(chance.choice([-2, 0, 1, 3]))

    async def look(store):
        while not done.is_set():
            snapshots.extend([(school, await store.snapshot(school, EVERYTHING)) for school in recorded])

    stores = [await Store.open(database_url, clock=jumping) for _ in range(2)]
    async with anyio.create_task_group() as looking:
        looking.start_soon(look, stores[1])
        async with anyio.create_task_group() as publishing:
            for seed in range(6):
                publishing.start_soon(publish, stores[seed % 2], seed, recorded)
        done.set()
    for school, published in recorded.items():
        log = await whole_log(stores[0], school)
        assert log == sorted(published, key=lambda one: one.version)
        assert [one.version for one in log] == list(range(1, len(log) + 1))
        assert [one.timestamp for one in log] == sorted(one.timestamp for one in log)
        now = await stores[1].snapshot(school, EVERYTHING)
        assert (now.head.version, now.head.timestamp) == (len(log), log[-1].timestamp)
        assert without_times(now.devices) == without_times(folded(log))
        assert (await stores[0].summary(school)).counts == Counter(one.status for one in now.devices)
        assert_links(log)
        for _, seen in (one for one in snapshots if one[0] == school):
            assert without_times(seen.devices) == without_times(folded(log[: seen.head.version]))
    for store in stores:
        await store.close()


def assert_links(log):
    """Every change names the status before it as its previous one."""
    last = {}
    for change in log:
        assert change.previous is last.get(change.device_id)
        last[change.device_id] = change.status
