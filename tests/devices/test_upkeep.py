"""Upkeep: when it works, what it does, and what becomes of those who listen."""

import asyncio
import logging

import pytest

from graphql_api.app import open_services
from graphql_api.devices.cursor import Cursor
from graphql_api.devices.model import DeviceFilter, Report, Status
from graphql_api.devices.upkeep import Upkeep
from graphql_api.devices.watches import EventKind
from graphql_api.errors import Unavailable
from graphql_api.moment import Moment
from graphql_api.settings import Settings
from tests.devices.test_watches import service_of, visibility
from tests.listening import Listening, listening_to

pytestmark = pytest.mark.anyio

DAY = 86_400
READER = visibility("s")


class Turns:
    """Stands in for the sleep between two turns: a task that sleeps waits until the test lets it go on."""

    def __init__(self):
        self.pauses = []
        self._sleepers = asyncio.Queue()

    async def sleep(self, seconds):
        self.pauses.append(seconds)
        gate = asyncio.Event()
        self._sleepers.put_nowait(gate)
        await gate.wait()

    async def rest(self):
        """Wait until a task sleeps; what it returns lets that one go on."""
        return (await self._sleepers.get()).set


@pytest.fixture
async def turns():
    return Turns()


@pytest.fixture
def upkeep_of(store, clock, turns):
    def made(service, *, history_days=30.0, stale_after=None):
        return Upkeep(
            store=store,
            service=service,
            history_days=history_days,
            stale_after=stale_after,
            clock=clock,
            sleep=turns.sleep,
        )

    return made


async def publish(service, *reports):
    return (await service.publish(READER, None, [Report(*report) for report in reports]))[1]


def watch(service):
    return service.watch_events(READER, None, DeviceFilter(), snapshot=False)


async def statuses(store):
    return {device.device_id: device.status for device in (await store.snapshot("s", DeviceFilter())).devices}


async def test_it_prunes_at_the_start_and_then_regularly(store, clock, turns, upkeep_of):
    """What is older than the history goes at the start, and what has become older at the next turn."""
    async with service_of(store) as service:
        for status in (Status.ONLINE, Status.OFFLINE, Status.ONLINE):
            await publish(service, ("a", status))
            clock.advance(DAY)
        async with upkeep_of(service, history_days=2.5):
            go_on = await turns.rest()
            assert [change.version for change in await store.changes("s", after=0, limit=9)] == [2, 3]
            clock.advance(DAY)
            go_on()
            await turns.rest()
            assert [change.version for change in await store.changes("s", after=0, limit=9)] == [3]
    assert all(540 <= pause <= 660 for pause in turns.pauses)


async def test_it_prunes_in_steps(store, clock, turns, upkeep_of, caplog):
    """More than fits a step goes in several, with a pause for the publishers in between, and one line is logged."""
    caplog.set_level(logging.INFO, "graphql_api")
    async with service_of(store) as service:
        await publish(service, *((f"d{number}", Status.ONLINE) for number in range(800)))
        clock.advance(DAY)
        async with upkeep_of(service, history_days=0.5):
            go_on = await turns.rest()
            assert (await store.position("s", 1)).floor == 501
            go_on()
            await turns.rest()
            assert (await store.position("s", 1)).floor == 800
    assert turns.pauses[0] < 1
    assert [record.getMessage() for record in caplog.records] == ["Pruned 799 changes from the log."]


@pytest.mark.logs_errors
@pytest.mark.parametrize("trouble", [Unavailable("The store can't be reached now."), RuntimeError("a defect")])
async def test_trouble_is_told_and_tried_again(store, clock, turns, upkeep_of, caplog, monkeypatch, trouble):
    """A failing turn is logged as a sentence and the next one works; an error of ours is logged with its trace."""
    async with service_of(store) as service:
        await publish(service, ("a", Status.ONLINE), ("b", Status.ONLINE))
        clock.advance(DAY)

        async def fail(*_):
            raise trouble

        with monkeypatch.context() as broken:
            broken.setattr(store, "prune", fail)
            async with upkeep_of(service, history_days=0.5):
                go_on = await turns.rest()
                (record,) = caplog.records
                assert record.getMessage().startswith("The upkeep of the store failed and will be tried again")
                assert bool(record.exc_info) is isinstance(trouble, RuntimeError)
                broken.undo()
                go_on()
                await turns.rest()
                assert (await store.position("s", 1)).floor == 2


async def test_leaving_it_ends_its_tasks(store, upkeep_of):
    """It ends at once when it is left, in the middle of its work as well, and leaves no task behind."""
    async with service_of(store) as service:
        before = asyncio.all_tasks()
        async with upkeep_of(service, stale_after=60):
            assert len(asyncio.all_tasks() - before) == 2
        assert asyncio.all_tasks() == before


async def test_a_cursor_outlives_pruning_only_above_the_floor(store, clock, turns, upkeep_of):
    """Who comes back below the floor begins with a snapshot, who comes back above it with the next change."""
    async with service_of(store) as service:
        for status in (Status.ONLINE, Status.OFFLINE, Status.ONLINE):
            await publish(service, ("a", status), ("b", status))
            clock.advance(DAY)
        log = await store.changes("s", after=0, limit=10)
        async with upkeep_of(service, history_days=1.5):
            await turns.rest()
        await publish(service, ("a", Status.OFFLINE))
        first = {}
        for version in (0, 1, 4, 5, 6):
            timestamp = log[version - 1].timestamp if version else Moment(0)
            cursor = Cursor(store.epoch, "s", version, timestamp).encode()
            async with listening_to(service) as listeners:
                with listeners.to(watch(service), [cursor]) as listener:
                    event = await listener.next()
                    first[version] = (event.kind, event.device.version)
    assert first == {
        0: (EventKind.SNAPSHOT, 7),
        1: (EventKind.SNAPSHOT, 7),
        4: (EventKind.SNAPSHOT, 7),
        5: (EventKind.CHANGE, 6),
        6: (EventKind.CHANGE, 7),
    }


async def test_who_is_behind_when_the_log_is_pruned_gets_a_snapshot(store, clock, turns, upkeep_of):
    """A subscriber whose next change is pruned is told every device as it stands, and then what changes."""
    # Nothing is remembered, so whoever is behind reads the log.
    async with service_of(store, recent_limit=1) as service:
        await publish(service, ("a", Status.ONLINE), ("b", Status.ONLINE), ("c", Status.ONLINE))
        async with listening_to(service) as listeners, listeners.live(watch(service)) as listener:
            told = {}
            await publish(service, ("a", Status.OFFLINE), ("b", Status.OFFLINE))
            event = await listener.next()
            assert (event.kind, event.device.version) == (EventKind.CHANGE, 4)
            await listener.next()
            listener.stall()
            for status in (Status.DEGRADED, Status.ONLINE):
                await publish(service, ("a", status), ("b", status))
                await service.retire(READER, "s", ["b"])
                await service.restore(READER, "s", ["b"])
            clock.advance(DAY)
            async with upkeep_of(service, history_days=0.5):
                await turns.rest()
            listener.drain()
            kinds = []
            for _ in range(3):
                event = await listener.next()
                kinds.append(event.kind)
                told[event.device.device_id] = event.device
            assert kinds == [EventKind.SNAPSHOT] * 3
            assert told == {device.device_id: device for device in (await store.snapshot("s", DeviceFilter())).devices}
            await publish(service, ("c", Status.OFFLINE))
            event = await listener.next()
            assert (event.kind, event.device) == (EventKind.CHANGE, await store.device("s", "c"))


async def test_stale_devices_are_news(store, clock, turns, upkeep_of):
    """A device that goes stale is a change like any other to those who listen, and so is its coming back."""
    async with service_of(store) as service:
        await publish(service, ("a", Status.ONLINE), ("b", Status.MAINTENANCE))
        async with (
            listening_to(service) as listeners,
            listeners.live(watch(service)) as listener,
            upkeep_of(service, stale_after=60),
        ):
            first, second = await turns.rest(), await turns.rest()
            clock.advance(60)
            first()
            second()
            event = await listener.next()
            assert (event.kind, event.device.status, event.previous) == (
                EventKind.CHANGE,
                Status.UNKNOWN,
                Status.ONLINE,
            )
            assert await statuses(store) == {"a": Status.UNKNOWN, "b": Status.MAINTENANCE}
            await publish(service, ("a", Status.ONLINE))
            event = await listener.next()
            assert (event.device.status, event.previous) == (Status.ONLINE, Status.UNKNOWN)


async def test_silence_counts_from_the_start_of_the_service(store, clock, turns, upkeep_of):
    """After the service was down for long, devices have as much time to be reported again as they always have."""
    async with service_of(store) as service:
        await publish(service, ("a", Status.ONLINE), ("b", Status.ONLINE))
        clock.advance(DAY)
        async with upkeep_of(service, stale_after=60):
            for expected in (Status.ONLINE, Status.ONLINE, Status.UNKNOWN):
                turn = [await turns.rest(), await turns.rest()]
                assert (await statuses(store))["a"] is expected
                clock.advance(30)
                await publish(service, ("b", Status.ONLINE))
                for go_on in turn:
                    go_on()
            await turns.rest()
            assert await statuses(store) == {"a": Status.UNKNOWN, "b": Status.ONLINE}
    assert min(turns.pauses) == pytest.approx(15, rel=0.1)


async def test_many_stale_devices_are_several_rounds(store, clock, turns, upkeep_of):
    """A school with more than a thousand stale devices is told of them in rounds of a thousand, and others too."""
    async with service_of(store) as service:
        may = visibility("s", "t")
        for start in (0, 1_000):
            reports = [Report(f"d{number}", Status.ONLINE) for number in range(start, start + 1_000)]
            await service.publish(may, "s", reports[: 1_000 if not start else 500])
        await service.publish(may, "t", [Report("a", Status.OFFLINE)])
        upkeep = upkeep_of(service, stale_after=60)
        clock.advance(60)
        async with upkeep:
            await turns.rest()
            await turns.rest()
        changes = await store.changes("s", after=1_500, limit=9_999)
        assert len(changes) == 1_500
        assert {change.status for change in changes} == {Status.UNKNOWN}
        assert (await store.device("t", "a")).status is Status.UNKNOWN


async def test_without_a_limit_nothing_goes_stale(store, clock, turns, upkeep_of):
    """When no limit is set, devices keep their status however long nobody reports them."""
    async with service_of(store) as service:
        await publish(service, ("a", Status.ONLINE))
        upkeep = upkeep_of(service)
        clock.advance(DAY * 365)
        before = asyncio.all_tasks()
        async with upkeep:
            await turns.rest()
            assert len(asyncio.all_tasks() - before) == 1
        assert await statuses(store) == {"a": Status.ONLINE}


async def test_the_application_does_the_upkeep(store, clock, database_url):
    """An application that is opened prunes and marks as its settings say, while it runs."""
    async with service_of(store) as service:
        await publish(service, ("a", Status.ONLINE), ("b", Status.ONLINE))
    clock.advance(DAY)
    settings = Settings(jwt_secret="x" * 32, database_url=database_url, history_days=0.5, stale_after=0.1)
    async with open_services(settings, clock=clock) as services:
        while (await store.position("s", 1)).floor == 1:
            pass
        async with Listening(services.delivery.sharing).live(watch(services.devices)) as listener:
            clock.advance(1)
            found = [await listener.next(), await listener.next()]
        assert {event.device.status for event in found} == {Status.UNKNOWN}
