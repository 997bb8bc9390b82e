"""Streams and the service over a real store and the real broadcaster: several publishers at once."""

import asyncio
import contextlib
import itertools
import random
import uuid

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphql_api.access.principal import DEVICES_ADMIN, DEVICES_PUBLISH, DEVICES_READ, Visibility
from graphql_api.devices.cursor import Cursor
from graphql_api.devices.feeds import Feeds
from graphql_api.devices.model import DeviceFilter, Head, Report, Status
from graphql_api.devices.news import News
from graphql_api.devices.news.brokers import broker_of
from graphql_api.devices.service import DeviceService

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
        service = DeviceService(store=store, news=news, feeds=feeds)
        yield service
        await service.finish()


def visibility(*schools):
    return Visibility(
        frozenset(schools), all_schools=False, scopes=frozenset([DEVICES_READ, DEVICES_PUBLISH, DEVICES_ADMIN])
    )


@contextlib.asynccontextmanager
async def opened(stream):
    try:
        await stream.open()
        async with contextlib.aclosing(stream.items()) as items:
            yield items
    finally:
        await stream.close()


async def caught_up(stream, store):
    """Wait until the stream stands at the store's head."""
    head = (await store.heads([stream.school]))[stream.school]
    while not stream.checkpoint or Cursor.decode(stream.checkpoint).version < head.version:  # noqa: ASYNC110 - no event
        await asyncio.sleep(0.001)


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
    async with service_of(store, **limits) as service, contextlib.AsyncExitStack() as stack:
        listeners = [
            (
                school,
                await stack.enter_async_context(
                    opened(service.watch_events(visibility(school), None, DeviceFilter(), snapshot=False))
                ),
            )
            for school in schools * 2
        ]
        async with asyncio.TaskGroup() as tasks:
            for number, school in enumerate(schools * 3):
                tasks.create_task(stir(service, school, random.Random(seed + number), 4))
        for school, events in listeners:
            log = await store.changes(school, after=0, limit=10_000)
            seen = [await anext(events) for _ in log]
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
    async with service_of(store, recent_limit=recent_limit) as service:
        await stir(service, school, dice, 3)
        stream = service.watch_devices(visibility(school), None, wanted)
        async with opened(stream) as updates, asyncio.TaskGroup() as tasks:
            stirring = tasks.create_task(stir(service, school, dice, 6))
            listed = {}

            async def follow():
                async for update in updates:
                    if update.reset:
                        listed.clear()
                    listed.update((device.device_id, device) for device in update.changed)
                    for device_id in update.removed:
                        # A device may be removed that never was there: what it was before is not always known.
                        listed.pop(device_id, None)

            following = tasks.create_task(follow())
            await stirring
            await caught_up(stream, store)
            following.cancel()
        snapshot = await store.snapshot(school, wanted)
        statuses_of = {device.device_id: (device.status, device.version) for device in snapshot.devices}
        assert {key: (device.status, device.version) for key, device in listed.items()} == statuses_of


@RELAXED
@given(seed=st.integers(0, 2**32), recent_limit=st.sampled_from([800, 10**6]))
async def test_a_summary_that_is_followed_equals_the_store(store, seed, recent_limit):
    """The last summary of a stream equals the store's counts, whatever came in between."""
    school = uuid.uuid4().hex
    dice = random.Random(seed)
    async with service_of(store, recent_limit=recent_limit) as service:
        await stir(service, school, dice, 2)
        stream = service.watch_summary(visibility(school), None)
        async with opened(stream) as summaries, asyncio.TaskGroup() as tasks:
            stirring = tasks.create_task(stir(service, school, dice, 6))
            shown = []

            async def follow():
                async for summary in summaries:
                    shown.append(summary.counts)  # noqa: PERF401 - as above

            following = tasks.create_task(follow())
            await stirring
            await caught_up(stream, store)
            following.cancel()
        assert shown[-1] == (await store.summary(school)).counts
        assert all(one != other for one, other in itertools.pairwise(shown))


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
    async with service_of(store, recent_limit=recent_limit) as service:
        cursor = service.cursor(school, Head())
        seen = []
        for _ in range(6):
            await stir(service, school, dice, 2)
            stream = service.watch_events(visibility(school), None, wanted, snapshot=dice.random() < 0.5)
            live = asyncio.Event()
            try:
                await stream.open([cursor] if cursor else [], live.set)
                async with contextlib.aclosing(stream.items()) as events, asyncio.TaskGroup() as tasks:

                    async def read(events, most):
                        nonlocal cursor
                        while most:
                            seen.append(await anext(events))
                            cursor = seen[-1].cursor
                            most -= 1

                    reading = tasks.create_task(read(events, dice.randint(0, 8)))
                    waiting = tasks.create_task(live.wait())
                    await asyncio.wait([reading, waiting], return_when=asyncio.FIRST_COMPLETED)
                    if live.is_set():
                        cursor = stream.cursor
                    reading.cancel()
                    waiting.cancel()
            finally:
                await stream.close()
        head = (await store.heads([school]))[school]
        passing = [
            change.version
            for change in await store.changes(school, after=0, limit=10_000)
            if wanted.passes(change) and change.version <= Cursor.decode(cursor).version
        ]
        assert [event.device.version for event in seen] == passing
        assert {event.kind for event in seen} <= {"CHANGE"}
        assert Cursor.decode(cursor).version <= head.version


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
    listed = {}
    async with service_of(store) as service:
        for _ in range(5):
            await stir(service, school, dice, 2)
            stream = service.watch_devices(visibility(school), None, wanted)
            live = asyncio.Event()
            try:
                await stream.open([cursor] if cursor else [], live.set)
                async with contextlib.aclosing(stream.items()) as updates, asyncio.TaskGroup() as tasks:

                    async def follow(updates):
                        async for update in updates:
                            assert not (update.reset and listed)
                            listed.update((device.device_id, device.version) for device in update.changed)
                            for device_id in update.removed:
                                listed.pop(device_id, None)

                    following = tasks.create_task(follow(updates))
                    await live.wait()
                    cursor = stream.checkpoint
                    following.cancel()
            finally:
                await stream.close()
            snapshot = await store.snapshot(school, wanted)
            assert listed == {device.device_id: device.version for device in snapshot.devices}


@RELAXED
@given(seed=st.integers(0, 2**32))
async def test_a_snapshot_has_no_seam(store, seed):
    """Devices folded from a snapshot and the changes after it equal the store, with no version twice."""
    school = uuid.uuid4().hex
    dice = random.Random(seed)
    async with service_of(store) as service:
        stream = service.watch_events(visibility(school), None, DeviceFilter(), snapshot=True)
        async with opened(stream) as events, asyncio.TaskGroup() as tasks:
            stirring = tasks.create_task(stir(service, school, dice, 8))
            seen = []

            async def follow():
                async for event in events:
                    seen.append(event)  # noqa: PERF401 - what was seen so far counts, and there is no end

            await service.publish(visibility(school), None, [Report("first", Status.ONLINE)])
            following = tasks.create_task(follow())
            await stirring
            await caught_up(stream, store)
            following.cancel()
    head = (await store.heads([school]))[school]
    versions = [event.device.version for event in seen if event.kind == "CHANGE"]
    assert versions == list(range(head.version - len(versions) + 1, head.version + 1))
    folded = {event.device.device_id: event.device.status for event in seen}
    folded = {key: status for key, status in folded.items() if status is not Status.RETIRED}
    assert folded == {
        device.device_id: device.status for device in (await store.snapshot(school, DeviceFilter())).devices
    }


async def test_a_caller_that_is_cancelled_does_not_part_recording_from_telling(store):
    """A publish that is cancelled while it is being recorded reaches the listeners, or is not recorded."""
    async with service_of(store, compare_interval=3_600) as service:
        stream = service.watch_events(visibility("s"), None, DeviceFilter(), snapshot=False)
        async with opened(stream) as events:
            for status in REPORTABLE * 5:
                publishing = asyncio.create_task(service.publish(visibility("s"), None, [Report("d", status)]))
                await asyncio.sleep(0)
                publishing.cancel()
            await service.finish()
            await service.publish(visibility("s"), None, [Report("last", Status.ONLINE)])
            log = await store.changes("s", after=0, limit=100)
            seen = [(await anext(events)).device.version for _ in log]
            assert seen == [change.version for change in log]


async def test_waiting_for_changes_survives_a_store_that_is_gone_for_a_while(store, monkeypatch):
    """A stream whose question fails as unavailable asks again, and its subscriber notices nothing."""
    from graphql_api.errors import Unavailable

    async with service_of(store) as service:
        stream = service.watch_devices(visibility("s"), None, DeviceFilter())
        snapshot = store.snapshot
        failures = iter([True, True, False])

        async def flaky(*arguments):
            if next(failures):
                raise Unavailable("gone")
            return await snapshot(*arguments)

        monkeypatch.setattr(store, "snapshot", flaky)
        async with opened(stream) as updates:
            assert (await anext(updates)).reset
