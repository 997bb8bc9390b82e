"""Statements handed to the driver itself: what SQLAlchemy knows of its errors is known all the same."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from graphql_api.devices import log
from graphql_api.devices.database import migrate_database
from graphql_api.devices.engines import make_engines
from tests.devices.conftest import plain_engine

BUSY = sa.text("SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = :pid")
TERMINATE = sa.text("SELECT pg_terminate_backend(:pid, 5000)")


def lock(connection):
    log.lock(connection, "s")


def touch(connection):
    log._TOUCH_DEVICES.execute(connection, [(1, 1, "s", "a")])


@pytest.mark.parametrize("work", [lock, touch])
def test_a_connection_that_dies_under_a_statement_is_known_to_be_dead(postgresql_url, work):
    """When the server ends a connection that waits for it, that is told: the work is repeated on another one."""
    migrate_database(postgresql_url)
    engines = make_engines(postgresql_url)
    with plain_engine(postgresql_url) as engine, engine.connect() as other, ThreadPoolExecutor(1) as thread:
        other.exec_driver_sql("LOCK TABLE school, device IN ACCESS EXCLUSIVE MODE")
        with engines.writer.connect() as connection:
            process = {"pid": connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()}
            working = thread.submit(work, connection)
            while not other.execute(BUSY, process).scalar_one():
                pass
            assert other.execute(TERMINATE, process).scalar_one()
            with pytest.raises(DBAPIError) as caught:
                working.result()
            assert caught.value.connection_invalidated
    engines.dispose()
