"""Watches over a real store and the real broadcaster, as those see them who share: several publishers at once."""

import asyncio
import contextlib
import itertools
import random
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphql_api.access.principal import DEVICES_ADMIN, DEVICES_PUBLISH, DEVICES_READ, Visibility
from graphql_api.devices.feeds import Feeds
from graphql_api.devices.model import DeviceFilter, Head, Report, Status
from graphql_api.devices.news import News
from graphql_api.devices.news.brokers import broker_of
from graphql_api.devices.service import DeviceService
from graphql_api.errors import Unavailable
from tests.listening import listening_to, version_of

pytestmark = pytest.mark.anyio

REPORTABLE = [status for status in Status if status is not Status.RETIRED]
DEVICES = [f"d{number}" for number in range(8)]
RELAXED = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@contextlib.asynccontextmanager
async def service_of(store, *, outbox_limit=10_000, compare_interval=0.05, recent_limit=10**6):
    async with (
        News(broker_of("memory://"), epoch=lambda: store.epoch, outbox_limit=outbox_limit) as news,
        Feeds(store=store, news=news, compare_interval=compare_interval, recent_limit=recent_limit) as feeds,
    ):
        service = DeviceService(store=store, news=news, feeds=feeds, revoking=None)
        yield service
        await service.finish()


def visibility(*schools):
    return Visibility(
        frozenset(schools), all_schools=False, scopes=frozenset([DEVICES_READ, DEVICES_PUBLISH, DEVICES_ADMIN])
    )


def events_of(service, school, *, snapshot=False):
    return service.watch_events(visibility(school), None, DeviceFilter(), snapshot=snapshot)


def listed_by(updates):
    """What a client lists that applies these updates: the version of each device."""
    listed = {}
    for update in updates:
        if update.reset:
            listed.clear()
        listed.update((device.device_id, device.version) for device in update.changed)
        for device_id in update.removed:
            # A device may be removed that never was there: what it was before is not always known.
            listed.pop(device_id, None)
    return listed


async def versions_of(store, school, wanted):
    """What the store lists."""
    return {device.device_id: device.version for device in (await store.snapshot(school, wanted)).devices}


async def stir_and_stall(service, school, dice, rounds, listener):
    """Publish as :func:`stir` does, while a listener's client takes what it is sent, or does not."""
    for _ in range(rounds):
        if dice.random() < 0.5:
            listener.stall()
        await stir(service, school, dice, 1)
        if dice.random() < 0.5:
            listener.drain()
    listener.drain()


async def stir(service, school, dice, rounds):
    """Publish random rounds, and now and then retire and restore."""
    may = visibility(school)
    for _ in range(rounds):
        reports = [Report(each, dice.choice(REPORTABLE)) for each in dice.sample(DEVICES, dice.randint(1, 5))]
        await service.publish(may, school, reports)
        known = dice.choice(reports).device_id
        if dice.random() < 0.2:
            await service.retire(may, school, [known])
        if dice.random() < 0.2:
            await service.restore(may, school, [known])


@RELAXED
@given(
    seed=st.integers(0, 2**32), outbox_limit=st.sampled_from([1, 10_000]), recent_limit=st.sampled_from([800, 10**6])
)
async def test_each_listener_sees_exactly_the_versions(store, seed, outbox_limit, recent_limit):
    """Random rounds of several publishers give versions without holes, and each listener sees exactly them."""
    schools = [uuid.uuid4().hex for _ in range(2)]
    limits = {"outbox_limit": outbox_limit, "recent_limit": recent_limit}
    async with (
        service_of(store, **limits) as service,
        listening_to(service) as listeners,
        contextlib.AsyncExitStack() as stack,
    ):
        listening = [await stack.enter_async_context(listeners.live(events_of(service, each))) for each in schools * 2]
        async with asyncio.TaskGroup() as tasks:
            for number, school in enumerate(schools * 3):
                tasks.create_task(stir(service, school, random.Random(seed + number), 4))
        for school, listener in zip(schools * 2, listening, strict=True):
            log = await store.changes(school, after=0, limit=10_000)
            seen = [await listener.next() for _ in log]
            assert [change.version for change in log] == list(range(1, len(log) + 1))
            assert [(event.device, event.previous) for event in seen] == [
                (change.device, change.previous) for change in log
            ]


@RELAXED
@given(
    seed=st.integers(0, 2**32),
    device_ids=st.none() | st.frozensets(st.sampled_from(DEVICES)),
    statuses=st.none() | st.frozensets(st.sampled_from(Status)),
    recent_limit=st.sampled_from([800, 10**6]),
)
async def test_a_list_that_is_followed_equals_the_store(store, seed, device_ids, statuses, recent_limit):
    """Applying the updates of a list gives what the store lists, for any filter, whatever came in between."""
    school = uuid.uuid4().hex
    wanted = DeviceFilter(device_ids, statuses)
    dice = random.Random(seed)
    async with service_of(store, recent_limit=recent_limit) as service, listening_to(service) as listeners:
        await stir(service, school, dice, 3)
        with listeners.to(service.watch_devices(visibility(school), None, wanted)) as listener:
            await stir_and_stall(service, school, dice, 6, listener)
            await listener.until_level_with(store)
        assert listed_by(listener.received) == await versions_of(store, school, wanted)


@RELAXED
@given(seed=st.integers(0, 2**32), recent_limit=st.sampled_from([800, 10**6]))
async def test_a_summary_that_is_followed_equals_the_store(store, seed, recent_limit):
    """The last summary of a stream equals the store's counts, whatever came in between."""
    school = uuid.uuid4().hex
    dice = random.Random(seed)
    async with service_of(store, recent_limit=recent_limit) as service, listening_to(service) as listeners:
        await stir(service, school, dice, 2)
        watch = service.watch_summary(visibility(school), None)
        async with listeners.live(watch) as quick, listeners.live(watch) as listener:
            await stir_and_stall(service, school, dice, 6, listener)
            await listener.until_level_with(store)
            await quick.until_level_with(store)
        counts = (await store.summary(school)).counts
        assert listener.received[-1].counts == quick.received[-1].counts == counts
        if recent_limit == 10**6:
            # Else a round may be forgotten before it was folded, and all are told the counts as they stand.
            assert all(one.counts != other.counts for one, other in itertools.pairwise(quick.received))


@RELAXED
@given(
    seed=st.integers(0, 2**32),
    statuses=st.none() | st.frozensets(st.sampled_from(Status)),
    recent_limit=st.sampled_from([800, 10**6]),
)
async def test_one_who_is_cut_and_resumes_sees_each_wanted_change_once(store, seed, statuses, recent_limit):
    """However often a reader of events is cut and resumes from its last cursor, it sees what the log says, once."""
    school = uuid.uuid4().hex
    wanted = DeviceFilter(None, statuses)
    dice = random.Random(seed)
    async with service_of(store, recent_limit=recent_limit) as service, listening_to(service) as listeners:
        cursor = service.cursor(school, Head())
        seen = []
        for _ in range(6):
            await stir(service, school, dice, 2)
            watch = service.watch_events(visibility(school), None, wanted, snapshot=dice.random() < 0.5)
            with listeners.to(watch, [cursor]) as listener:
                for _ in range(dice.randint(0, 8)):
                    # Cut anywhere: while it is let in, while it catches up, when it is live.
                    await asyncio.sleep(0)
                if dice.random() < 0.5:
                    await listener.live.wait()
                    await stir_and_stall(service, school, dice, 1, listener)
            seen += listener.received
            cursor = listener.cursor or cursor
        reached = version_of(cursor)
        passing = [
            change.version
            for change in await store.changes(school, after=0, limit=10_000)
            if wanted.passes(change) and change.version <= reached
        ]
        assert [event.device.version for event in seen] == passing
        assert {event.kind for event in seen} <= {"CHANGE"}
        assert reached <= (await store.heads([school]))[school].version


@RELAXED
@given(
    seed=st.integers(0, 2**32),
    device_ids=st.none() | st.frozensets(st.sampled_from(DEVICES)),
    statuses=st.none() | st.frozensets(st.sampled_from(Status)),
)
async def test_a_list_that_resumes_equals_the_store(store, seed, device_ids, statuses):
    """However often a reader of a list is cut and resumes, applying the updates gives what the store lists."""
    school = uuid.uuid4().hex
    wanted = DeviceFilter(device_ids, statuses)
    dice = random.Random(seed)
    cursor = None
    told = []
    async with service_of(store) as service, listening_to(service) as listeners:
        for _ in range(5):
            await stir(service, school, dice, 2)
            watch = service.watch_devices(visibility(school), None, wanted)
            async with listeners.live(watch, [cursor] if cursor else []) as listener:
                pass
            assert all(not update.reset for update in listener.received) or not told
            told += listener.received
            cursor = listener.cursor
            assert listed_by(told) == await versions_of(store, school, wanted)


@RELAXED
@given(seed=st.integers(0, 2**32))
async def test_a_snapshot_has_no_seam(store, seed):
    """Devices folded from a snapshot and the changes after it equal the store, with no version twice."""
    school = uuid.uuid4().hex
    dice = random.Random(seed)
    async with service_of(store) as service, listening_to(service) as listeners:
        await service.publish(visibility(school), None, [Report("first", Status.ONLINE)])
        with listeners.to(events_of(service, school, snapshot=True)) as listener:
            await stir_and_stall(service, school, dice, 8, listener)
            await listener.until_level_with(store)
    head = (await store.heads([school]))[school]
    seen = listener.received
    versions = [event.device.version for event in seen if event.kind == "CHANGE"]
    assert versions == list(range(head.version - len(versions) + 1, head.version + 1))
    assert [event.kind for event in seen] == ["SNAPSHOT"] * (len(seen) - len(versions)) + ["CHANGE"] * len(versions)
    folded = {event.device.device_id: event.device.status for event in seen}
    folded = {key: status for key, status in folded.items() if status is not Status.RETIRED}
    assert folded == {
        device.device_id: device.status for device in (await store.snapshot(school, DeviceFilter())).devices
    }


async def test_a_caller_that_is_cancelled_does_not_part_recording_from_telling(store):
    """A publish that is cancelled while it is being recorded reaches the listeners, or is not recorded."""
    async with (
        service_of(store, compare_interval=3_600) as service,
        listening_to(service) as listeners,
        listeners.live(events_of(service, "s")) as listener,
    ):
        for status in REPORTABLE * 5:
            publishing = asyncio.create_task(service.publish(visibility("s"), None, [Report("d", status)]))
            await asyncio.sleep(0)
            publishing.cancel()
        await service.finish()
        await service.publish(visibility("s"), None, [Report("last", Status.ONLINE)])
        log = await store.changes("s", after=0, limit=100)
        seen = [(await listener.next()).device.version for _ in log]
        assert seen == [change.version for change in log]


async def test_waiting_for_changes_survives_a_store_that_is_gone_for_a_while(store, monkeypatch):
    """A subscriber whose question to the store fails as unavailable has it asked again, and notices nothing."""
    async with service_of(store) as service, listening_to(service) as listeners:
        snapshot = store.snapshot
        failures = iter([True, True, False])

        async def flaky(*arguments):
            if next(failures):
                raise Unavailable("gone")
            return await snapshot(*arguments)

        monkeypatch.setattr(store, "snapshot", flaky)
        with listeners.to(service.watch_devices(visibility("s"), None, DeviceFilter())) as listener:
            assert (await listener.next()).reset
    assert list(failures) == []
