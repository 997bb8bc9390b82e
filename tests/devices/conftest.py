"""A store on each engine, in a database of its own, with a clock that the test sets."""

import uuid
from collections.abc import AsyncIterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from graphql_api.devices.store import Store
from graphql_api.moment import SECOND, Moment
from tests.devices.redis_server import RedisServer

DAWN = Moment(1_795_420_800 * SECOND)


class SettableClock:
    def __init__(self) -> None:
        self.moment = DAWN

    def __call__(self) -> Moment:
        return self.moment

    def advance(self, seconds: float) -> Moment:
        self.moment = Moment(self.moment + int(seconds * SECOND))
        return self.moment


@contextmanager
def plain_engine(url):
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def clock():
    return SettableClock()


@pytest.fixture
def sqlite_url(tmp_path):
    return f"sqlite:///{tmp_path}/devices.db"


@contextmanager
def fresh_database(postgresql):
    """The URL of an empty database on this server."""
    name = f"devices_{uuid.uuid4().hex}"
    server = sa.create_engine(
        sa.make_url(postgresql).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        yield sa.make_url(postgresql).set(database=name).render_as_string(hide_password=False)
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


@pytest.fixture
def postgresql_url(postgresql):
    with fresh_database(postgresql) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request):
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
async def store(database_url, clock) -> AsyncIterator[Store]:
    opened = await Store.open(database_url, clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
def redis():
    server = RedisServer()
    server.start()
    yield server
    server.kill()


@pytest.fixture(params=["memory", "redis", "postgresql"])
def broadcast_url(request):
    match request.param:
        case "redis":
            return request.getfixturevalue("redis").url
        case "postgresql":
            return request.getfixturevalue("postgresql_url")
    return "memory://"
