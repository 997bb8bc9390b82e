"""Processes and engines that end, while rounds are published to two instances on PostgreSQL and Redis."""

import asyncio
import contextlib

import pytest

from tests.faults.client import watching
from tests.faults.conftest import COMPARE_INTERVAL
from tests.faults.installation import Installation
from tests.faults.promise import assert_promise_kept
from tests.faults.publisher import Publisher
from tests.faults.waiting import poll
from tests.faults.watchers import EventWatcher, ListWatcher, SummaryWatcher

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def audience(instances, school):
    """A client at each instance, with a watcher of each kind."""
    token = Installation.token(school)
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                watching(instance.ws, token, EventWatcher(school), ListWatcher(school), SummaryWatcher(school))
            )
            for instance in instances
        ]


async def test_an_instance_is_killed(installation, school):
    """The clients of an instance that is killed move to another by their cursors, and miss nothing (G-24)."""
    first, second = installation.instances[:2]
    third = (await asyncio.to_thread(installation.start, 1))[0]
    publisher = Publisher([first, third, second], school, installation.token(school))
    async with audience([third, first], school) as clients:
        moving, staying = clients
        async with publisher.publishing():
            await publisher.advance(10)
            await asyncio.to_thread(installation.kill, third)
            moving.url = second.ws
            await publisher.advance(10)
        await assert_promise_kept(installation.database, school, clients, publisher=publisher)
        assert (moving.connections, staying.connections) == (2, 1)
        assert moving.watchers[0].snapshots == 0
        assert moving.watchers[1].resets == 1


async def test_redis_is_killed_and_restarted(installation, shared_redis, school):
    """Redis killed and started again, twice: nobody is cut off, and nothing is missed (G-22)."""
    publisher = Publisher(installation.instances, school, installation.token(school))
    async with audience(installation.instances, school) as clients:
        async with publisher.publishing():
            for _ in range(2):
                await publisher.advance(5)
                await asyncio.to_thread(shared_redis.kill)
                await publisher.advance(10)
                await asyncio.to_thread(shared_redis.start)
                await publisher.advance(10)
        await assert_promise_kept(installation.database, school, clients, publisher=publisher)
        assert [client.connections for client in clients] == [1, 1]


async def test_redis_is_gone_for_good(installation, shared_redis, school):
    """G-22: Without Redis events come by the comparison with the store, within its interval, and readiness says why."""
    publisher = Publisher(installation.instances, school, installation.token(school))
    async with audience(installation.instances, school) as clients:
        async with publisher.publishing():
            await publisher.advance(5)
            await asyncio.to_thread(shared_redis.kill)
            await publisher.advance(5)
        for instance in installation.instances:
            await poll(lambda instance=instance: _is_degraded(instance))
        await assert_promise_kept(installation.database, school, clients, publisher=publisher)
        for _ in range(3):
            await publisher.publish(publisher.other_statuses())
            await assert_promise_kept(
                installation.database, school, clients, publisher=publisher, within=COMPARE_INTERVAL + 1
            )
        assert [client.connections for client in clients] == [1, 1]


async def _is_degraded(instance):
    readiness = await instance.readiness()
    if readiness["status"] != "degraded":
        return False
    assert [reason.partition(" and ")[0] for reason in readiness["reasons"]] == ["The broadcaster can't be reached"]
    return True


async def test_postgresql_is_restarted(installation, postgresql, school):
    """G-23: While PostgreSQL is away publishing is UNAVAILABLE and subscribers stay; then nothing is missing."""
    publisher = Publisher(installation.instances, school, installation.token(school))
    async with audience(installation.instances, school) as clients:
        async with publisher.publishing():
            for _ in range(2):
                await publisher.advance(5)
                refused = publisher.unavailable
                await asyncio.to_thread(postgresql.crash)
                await publisher.until(lambda refused=refused: publisher.unavailable > refused + 2)
                await asyncio.to_thread(postgresql.start)
            await publisher.advance(5)
        await assert_promise_kept(installation.database, school, clients, publisher=publisher)
        assert [client.connections for client in clients] == [1, 1]


async def test_postgresql_ends_the_listening_connections(postgresql, settings, tmp_path, school):
    """With PostgreSQL as the broadcaster too, the end of what listens there costs nobody an event (G-22)."""
    database = postgresql.make_database()
    listening = "query LIKE 'LISTEN%'"
    with Installation(tmp_path, **settings | {"DATABASE_URL": database, "BROADCAST_URL": database}) as installation:
        await asyncio.to_thread(installation.start, 2)
        publisher = Publisher(installation.instances, school, installation.token(school))
        async with audience(installation.instances, school) as clients:
            async with publisher.publishing():
                for _ in range(3):
                    await publisher.advance(10)
                    assert postgresql.end_connections(database, listening) == 2
                    await publisher.advance(10)
                    await poll(lambda: _are_connected(postgresql, database, listening))
            await assert_promise_kept(database, school, clients, publisher=publisher)
            assert [client.connections for client in clients] == [1, 1]


async def _are_connected(postgresql, database, condition):
    return await asyncio.to_thread(postgresql.count_connections, database, condition) == 2


async def test_staging_and_production_on_one_redis(installation, postgresql, settings, tmp_path, school):
    """Two installations share a Redis: the same school in both, and no event crosses (G-2)."""
    database = postgresql.make_database()
    token = installation.token(school)
    with Installation(tmp_path, **settings | {"DATABASE_URL": database}) as staging:
        await asyncio.to_thread(staging.start, 1)
        ours = Publisher(installation.instances, school, token)
        theirs = Publisher(staging.instances, school, token, devices=7)
        async with audience(installation.instances, school) as clients, audience(staging.instances, school) as others:
            async with ours.publishing(), theirs.publishing():
                await ours.advance(20)
                await theirs.advance(20)
            await assert_promise_kept(installation.database, school, clients, publisher=ours)
            await assert_promise_kept(database, school, others, publisher=theirs)
