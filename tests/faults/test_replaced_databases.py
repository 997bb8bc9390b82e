"""Databases that are replaced under two instances at work: by an older backup, and by an empty one."""

import asyncio
import contextlib

import pytest

from tests.faults.client import watching
from tests.faults.installation import Installation
from tests.faults.promise import assert_promise_kept
from tests.faults.publisher import Publisher
from tests.faults.watchers import EventWatcher, ListWatcher, SummaryWatcher

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def replaceable(tmp_path_factory, postgresql, settings):
    """Two instances whose database these tests replace."""
    folder = tmp_path_factory.mktemp("replaceable")
    with Installation(folder, **settings | {"DATABASE_URL": postgresql.make_database()}) as installation:
        installation.start(2)
        yield installation


def watchers(school):
    return EventWatcher(school), ListWatcher(school), SummaryWatcher(school)


@contextlib.asynccontextmanager
async def clients(installation, school, count):
    """At the instances in turn, each with a watcher of each kind."""
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                watching(installation.instances[number % 2].ws, installation.token(school), *watchers(school))
            )
            for number in range(count)
        ]


async def test_an_older_backup_is_restored_under_clients_that_are_away(replaceable, postgresql, school):
    """Who saw more than the backup holds is told how things stand; who had left before it misses nothing."""
    database = replaceable.database
    publisher = Publisher(replaceable.instances, school, replaceable.token(school))
    async with clients(replaceable, school, 2) as (early, late):
        await publisher.publish(publisher.other_statuses())
        await assert_promise_kept(database, school, [early], publisher=publisher)
        await early.disconnect()
        await publisher.publish(publisher.other_statuses())
        backup = await asyncio.to_thread(postgresql.dump, database)
        for _ in range(3):
            await publisher.publish(publisher.other_statuses())
        before = await assert_promise_kept(database, school, [late], publisher=publisher)
        await late.disconnect()
        restored = await asyncio.to_thread(postgresql.restore, backup)
        async with publisher.publishing():
            await asyncio.to_thread(postgresql.swap, database, restored)
            # Beyond what the client has seen, so that its version is there again, and is another one.
            await publisher.advance(20)
        early.reconnect()
        late.reconnect()
        history = await assert_promise_kept(database, school, [early, late], before=before)
        assert history.head > before.head
        assert (early.watchers[0].snapshots, early.watchers[1].resets) == (0, 1)
        assert (late.watchers[0].snapshots, late.watchers[1].resets) == (1, 2)


async def test_an_empty_database_takes_the_place_under_clients_that_are_away(replaceable, postgresql, school):
    """A client that comes back to another database is told how things stand there."""
    database = replaceable.database
    publisher = Publisher(replaceable.instances, school, replaceable.token(school))
    async with clients(replaceable, school, 2) as away:
        for _ in range(3):
            await publisher.publish(publisher.other_statuses())
        before = await assert_promise_kept(database, school, away, publisher=publisher)
        for client in away:
            await client.disconnect()
        empty = await asyncio.to_thread(postgresql.make_database)
        async with publisher.publishing():
            await asyncio.to_thread(postgresql.swap, database, empty)
            await publisher.advance(10)
        for client in away:
            client.reconnect()
        await assert_promise_kept(database, school, away, before=before)
        assert [(client.watchers[0].snapshots, client.watchers[1].resets) for client in away] == [(1, 2)] * 2


async def test_an_older_backup_is_restored_under_connected_clients(replaceable, postgresql, school):
    """Clients that stay connected are told how things stand in the backup, and go on from there (G-9)."""
    database = replaceable.database
    publisher = Publisher(replaceable.instances, school, replaceable.token(school))
    async with clients(replaceable, school, 2) as staying:
        await publisher.publish(publisher.other_statuses())
        backup = await asyncio.to_thread(postgresql.dump, database)
        for _ in range(3):
            await publisher.publish(publisher.other_statuses())
        before = await assert_promise_kept(database, school, staying, publisher=publisher)
        restored = await asyncio.to_thread(postgresql.restore, backup)
        async with publisher.publishing():
            await asyncio.to_thread(postgresql.swap, database, restored)
            await publisher.advance(20)
        await assert_promise_kept(database, school, staying, before=before)
        for client in staying:
            assert client.connections == 1
            assert (client.watchers[0].snapshots, client.watchers[1].resets) == (1, 2)


async def test_an_empty_database_takes_the_place_under_connected_clients(replaceable, postgresql, school):
    """Clients that stay connected see the other database from its beginning, and nothing of the old one any more."""
    database = replaceable.database
    publisher = Publisher(replaceable.instances, school, replaceable.token(school))
    async with clients(replaceable, school, 2) as staying:
        for _ in range(3):
            await publisher.publish(publisher.other_statuses())
        before = await assert_promise_kept(database, school, staying, publisher=publisher)
        empty = await asyncio.to_thread(postgresql.make_database)
        async with publisher.publishing():
            await asyncio.to_thread(postgresql.swap, database, empty)
            await publisher.advance(10)
        await assert_promise_kept(database, school, staying, before=before)
        for client in staying:
            assert client.connections == 1
            assert len(client.watchers[0].stretches) == 2
            assert client.watchers[1].resets == 2
