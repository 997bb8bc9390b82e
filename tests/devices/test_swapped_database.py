"""A database that is replaced, removed or made anew while the store is open."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from graphql_api.devices import renewal
from graphql_api.devices.model import DeviceFilter, Report, Status
from graphql_api.devices.store import Store
from graphql_api.errors import Unavailable
from tests.devices.conftest import plain_engine

pytestmark = pytest.mark.anyio

ROUND = [(0, Report("a", Status.ONLINE))]
COMPANIONS = ("-wal", "-shm")


def file_of(url):
    return Path(sa.make_url(url).database)


def back_up(url, target):
    """A backup as SQLite makes one: consistent, whatever is going on."""
    with closing(sqlite3.connect(file_of(url))) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)
    return target


def remove(url):
    for suffix in ("", *COMPANIONS):
        Path(f"{file_of(url)}{suffix}").unlink(missing_ok=True)


def integrity(url):
    with closing(sqlite3.connect(file_of(url))) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall()


async def version_of(store, school="s"):
    head = (await store.heads([school])).get(school)
    return head.version if head else 0


async def record(store, count, school="s"):
    for _ in range(count):
        recorded = await store.record(school, [(0, Report(f"d{await version_of(store, school)}", Status.ONLINE))])
    return recorded


@pytest.fixture
def no_grace(monkeypatch):
    monkeypatch.setattr(renewal, "GRACE", 0)


@pytest.fixture
async def on_sqlite(sqlite_url):
    store = await Store.open(sqlite_url)
    yield store
    await store.close()


@pytest.mark.parametrize("companions", ["removed", "left"])
async def test_a_replaced_file_is_noticed_by_reads_and_writes(on_sqlite, sqlite_url, tmp_path, companions):
    """With a backup in the file's place, all connections are to the backup, whatever lay beside the old file."""
    await record(on_sqlite, 3)
    backup = back_up(sqlite_url, tmp_path / "backup.db")
    await record(on_sqlite, 5)
    epoch = on_sqlite.epoch
    if companions == "removed":
        remove(sqlite_url)
    backup.rename(file_of(sqlite_url))
    assert [await version_of(on_sqlite) for _ in range(5)] == [3] * 5
    assert (await record(on_sqlite, 1)).head.version == 4
    assert on_sqlite.epoch == epoch
    await on_sqlite.close()
    assert integrity(sqlite_url) == [("ok",)]
    reopened = await Store.open(sqlite_url)
    assert await version_of(reopened) == 4
    await reopened.close()


async def test_what_comes_beside_the_new_file_is_used(on_sqlite, sqlite_url, tmp_path):
    """A database that is moved into place with its write-ahead log keeps what is only in there."""
    await record(on_sqlite, 3)
    other_url = f"sqlite:///{tmp_path}/other.db"
    other = await Store.open(other_url)
    await record(other, 7)
    # As a crash would leave it: committed, and not yet moved from the log into the file.
    left = [(suffix, shutil.copy(f"{file_of(other_url)}{suffix}", tmp_path / f"left{suffix}")) for suffix in COMPANIONS]
    shutil.copy(file_of(other_url), tmp_path / "left")
    await other.close()
    remove(sqlite_url)
    for suffix, copied in left:
        copied.rename(f"{file_of(sqlite_url)}{suffix}")
    (tmp_path / "left").rename(file_of(sqlite_url))
    assert await version_of(on_sqlite) == 7
    assert on_sqlite.epoch == other.epoch


async def test_a_removed_file_is_made_anew(on_sqlite, sqlite_url, caplog, no_grace):
    """With the file gone, an empty database with another epoch takes its place, and the log says so."""
    await record(on_sqlite, 3)
    epoch = on_sqlite.epoch
    remove(sqlite_url)
    assert await version_of(on_sqlite) == 0
    assert on_sqlite.epoch != epoch
    assert (await record(on_sqlite, 1)).head.version == 1
    assert "its tables were made anew" in caplog.text


async def test_a_removed_file_is_made_anew_by_a_write(on_sqlite, sqlite_url, no_grace):
    """A round that meets a file that is gone is recorded in the new one, beside which nothing old is left."""
    await record(on_sqlite, 3)
    file_of(sqlite_url).unlink()
    recorded = await on_sqlite.record("s", ROUND)
    assert (recorded.head.version, recorded.changed) == (1, 1)
    await on_sqlite.close()
    assert integrity(sqlite_url) == [("ok",)]


async def test_somebody_who_restores_a_backup_is_given_time(on_sqlite, sqlite_url, tmp_path, monkeypatch):
    """A file that is gone is not made anew at once: calls are refused, and the backup put there is used."""
    now = [1_000.0]
    monkeypatch.setattr(renewal.time, "monotonic", lambda: now[0])
    await record(on_sqlite, 3)
    backup = back_up(sqlite_url, tmp_path / "backup.db")
    remove(sqlite_url)
    for _ in range(2):
        with pytest.raises(Unavailable, match="being restored"):
            await on_sqlite.ping()
        with pytest.raises(Unavailable, match="being restored"):
            await on_sqlite.record("s", ROUND)
        now[0] += renewal.GRACE / 3
    assert not file_of(sqlite_url).exists()
    backup.rename(file_of(sqlite_url))
    assert await version_of(on_sqlite) == 3
    # Whoever is next is given as much time again.
    now[0] += 10 * renewal.GRACE
    remove(sqlite_url)
    with pytest.raises(Unavailable, match="being restored"):
        await on_sqlite.ping()
    now[0] += renewal.GRACE
    assert await version_of(on_sqlite) == 0


async def test_a_recreated_postgresql_database_is_migrated_once(postgresql_url, caplog, no_grace):
    """Several stores that find their PostgreSQL database dropped and made anew agree on one new epoch."""
    stores = [await Store.open(postgresql_url) for _ in range(3)]
    await record(stores[0], 3)
    epoch = stores[0].epoch
    name = sa.make_url(postgresql_url).database
    server = sa.make_url(postgresql_url).set(database="postgres").render_as_string(hide_password=False)
    with plain_engine(server) as engine, engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        with pytest.raises(Unavailable):
            await stores[0].ping()
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    versions = [(await one.record("s", ROUND)).head.version for one in stores]
    assert versions == [1, 1, 1]
    assert len({one.epoch for one in stores}) == 1
    assert stores[0].epoch != epoch
    assert caplog.text.count("its tables were made anew") == 1
    for one in stores:
        await one.close()


async def test_a_dump_that_is_being_loaded_is_unavailable(postgresql_url):
    """Between the making of the tables and the loading of their rows, reads say that the store can't be reached."""
    store = await Store.open(postgresql_url)
    await record(store, 1)
    with plain_engine(postgresql_url) as engine:
        with engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE service RENAME TO kept")
            connection.exec_driver_sql("CREATE TABLE service (LIKE kept)")
        with pytest.raises(Unavailable):
            await store.heads(["s"])
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE service")
            connection.exec_driver_sql("ALTER TABLE kept RENAME TO service")
    assert await version_of(store) == 1
    await store.close()


async def test_the_epoch_is_that_of_the_database_that_answered(store, database_url):
    """Whatever a subscriber is told rests on, and every write, finds the epoch to be another one."""
    await record(store, 1)
    calls = [
        lambda: store.heads(["s"]),
        lambda: store.heads(["nobody's"]),
        lambda: store.snapshot("s", DeviceFilter()),
        lambda: store.snapshot("nobody's", DeviceFilter()),
        lambda: store.devices_above("s", 0),
        lambda: store.position("s", 1),
        lambda: store.position("nobody's", 1),
        lambda: store.summary("s"),
        lambda: store.summary("nobody's"),
        lambda: store.record("s", ROUND),
        lambda: store.retire("s", ["a"]),
        lambda: store.mark_stale("s", silent_since=0, limit=1),
        store.ping,
    ]
    with plain_engine(database_url) as engine:
        for number, call in enumerate(calls):
            with engine.begin() as connection:
                connection.exec_driver_sql(f"UPDATE service SET epoch = 'epoch {number}'")
            await call()
            assert store.epoch == f"epoch {number}"
