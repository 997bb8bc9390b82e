"""Migrating at opening: once, whoever comes first, and never backwards."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from graphql_api.devices import migrations
from graphql_api.devices.database import migrate_database
from graphql_api.devices.engines import UnusableDatabaseError
from graphql_api.devices.store import Store
from graphql_api.devices.tables import metadata
from tests.devices.conftest import plain_engine

pytestmark = pytest.mark.anyio


async def test_a_second_open_finds_the_same_epoch(database_url, tmp_path):
    """The epoch belongs to the database: every store on it has the same, another database another one."""
    first, second = await Store.open(database_url), await Store.open(database_url)
    other = await Store.open(f"sqlite:///{tmp_path}/other.db")
    assert first.epoch == second.epoch != other.epoch
    for store in (first, second, other):
        await store.close()


def test_migrating_tells_what_it_did(database_url):
    """An empty database is moved to the newest revision once; after that there is nothing to do."""
    first, again = migrate_database(database_url), migrate_database(database_url)
    assert (first.before, again.before) == (None, first.after)
    assert again.after == first.after


def test_migrations_make_what_the_tables_say(database_url):
    """A migrated database has just the tables, columns and indexes that the statements are written for."""
    migrate_database(database_url)
    with plain_engine(database_url) as engine, engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def migrate_to(database_url, revision):
    """Bring an empty database to an older revision, as that version of the service did."""
    with plain_engine(database_url) as engine, engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


async def test_histories_outlive_the_index_that_they_were_read_by(database_url):
    """A log from before changes were linked is linked by the migration, each school's and each device's alone."""
    migrate_to(database_url, "0002")
    devices = {"s": "abacaba", "t": "bb"}
    with plain_engine(database_url) as engine, engine.begin() as connection:
        for school, ids in devices.items():
            connection.exec_driver_sql(f"INSERT INTO school VALUES ('{school}', {len(ids)}, 0, 1, 0)")
            for version, device_id in enumerate(ids, 1):
                values = f"'{school}', {version}, '{device_id}', 'ONLINE', NULL, 0, 0, 0"
                connection.exec_driver_sql(f"INSERT INTO change VALUES ({values})")
            for device_id in sorted(set(ids)):
                values = f"'{school}', '{device_id}', 'ONLINE', 0, 0, 0, {ids.rindex(device_id) + 1}"
                connection.exec_driver_sql(f"INSERT INTO device VALUES ({values})")
    store = await Store.open(database_url)
    for school, ids in devices.items():
        for device_id in sorted(set(ids)):
            page = await store.history(school, device_id, since=None, first=10, before=None)
            found = [change.version for change in page.changes]
            assert found == [version for version in range(len(ids), 0, -1) if ids[version - 1] == device_id]
    await store.close()


async def test_a_newer_database_is_refused(database_url):
    """A database at an unknown revision is refused with a sentence, and left as it is."""
    migrate_database(database_url)
    with plain_engine(database_url) as engine, engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UnusableDatabaseError, match=r"at revision 9999, which this version .* does not know"):
        await Store.open(database_url)
    with pytest.raises(UnusableDatabaseError):
        migrate_database(database_url)


def test_processes_may_start_at_once(database_url):
    """Several processes that open an empty database together all get it, with one epoch."""
    code = (
        "import asyncio, sys\n"
        "from graphql_api.devices.store import Store\n"
        "async def main():\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.readline()\n"
        "    store = await Store.open(sys.argv[1])\n"
        "    print(store.epoch)\n"
        "    await store.close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-W", "error", "-c", code, database_url]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=30)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], answers
    assert len(set(answers)) == 1


def test_ids_collate_by_code_point_on_postgresql(postgresql_url):
    """Every id column has the collation "C", so that the order does not hang on how the database was made."""
    migrate_database(postgresql_url)
    with plain_engine(postgresql_url) as engine, engine.connect() as connection:
        found = connection.exec_driver_sql(
            "SELECT DISTINCT column_name, collation_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND column_name LIKE '%%_id'"
        )
        assert sorted(map(tuple, found)) == [("device_id", "C"), ("school_id", "C")]
