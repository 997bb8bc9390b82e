"""Engines that may fail, and installations of real processes on them."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.commands.conftest import _compiled  # noqa: F401 - a fixture
from tests.devices.redis_server import RedisServer
from tests.faults.engines import PostgreSQL
from tests.faults.installation import Installation
from tests.faults.waiting import poll

COMPARE_INTERVAL = 1.0
"""Seconds between two comparisons with the store, in these tests."""


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory) -> Iterator[PostgreSQL]:
    """A server of these tests alone, as they crash it."""
    server = PostgreSQL(tmp_path_factory.mktemp("faults") / "postgresql")
    yield server
    server.end()


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def settings(postgresql, shared_redis) -> dict[str, str]:
    """Of an installation on PostgreSQL and Redis, but for its database."""
    return {"BROADCAST_URL": shared_redis.url, "FEED_COMPARE_INTERVAL": str(COMPARE_INTERVAL), "KEEP_ALIVE": "1"}


@pytest.fixture(scope="session")
def shared_installation(tmp_path_factory, postgresql, settings) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    with Installation(folder, DATABASE_URL=postgresql.make_database(), **settings) as installation:
        installation.start(2)
        yield installation


@pytest.fixture
async def installation(shared_installation, shared_redis, postgresql) -> AsyncIterator[Installation]:
    """Two instances, started once for all tests that take no instance down for good: each has a school of its own."""
    yield shared_installation
    # Whatever the test has done to the engines, the next one finds them in order.
    await asyncio.to_thread(shared_redis.start)
    await asyncio.to_thread(postgresql.start)
    for instance in shared_installation.instances:

        async def is_ready(instance=instance):
            return (await instance.readiness())["status"] == "ready"

        await poll(is_ready)


@pytest.fixture
def school(request) -> str:
    """A school that no other test uses."""
    return f"school of {request.node.name}"[:128]
