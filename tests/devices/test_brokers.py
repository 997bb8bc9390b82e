"""What subscribers of events see while real brokers die: every change once, in order."""

import asyncio
import contextlib

import pytest

from graphql_api.devices.feeds import Feeds
from graphql_api.devices.model import Head
from graphql_api.devices.news import News
from graphql_api.devices.news.brokers import broker_of
from graphql_api.devices.service import DeviceService
from graphql_api.devices.store import Store
from tests.devices.conftest import plain_engine
from tests.devices.faulty_broker import faulty
from tests.devices.test_feed import Flipper, events, versions
from tests.devices.test_news import until
from tests.listening import listening_to

pytestmark = pytest.mark.anyio

ROUNDS = 60


class Process:
    """A process of an installation: it records rounds and announces them, and it has subscribers."""

    def __init__(self, store, news, feeds, listeners):
        self.store = store
        self.news = news
        self.feeds = feeds
        self.listeners = listeners
        self._flipper = Flipper(store)

    async def publish(self):
        recorded = await self._flipper.record()
        self.feeds.note("s", Head(recorded.last, recorded.changes[-1].timestamp, recorded.last_report_at))
        self.news.announce(recorded)


@contextlib.asynccontextmanager
async def process(url, broker, *, compare_interval=3_600.0):
    store = await Store.open(url)
    try:
        async with (
            News(
                broker_of(broker) if isinstance(broker, str) else broker, epoch=lambda: store.epoch, outbox_limit=100
            ) as news,
            Feeds(store=store, news=news, compare_interval=compare_interval, recent_limit=10**6) as feeds,
            listening_to(DeviceService(store=store, news=news, feeds=feeds, revoking=None)) as listeners,
        ):
            yield Process(store, news, feeds, listeners)
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def subscribed(process, count):
    """The versions of the first events of a new subscriber, who is live when the context is entered."""
    async with process.listeners.live(events()) as listener, asyncio.TaskGroup() as tasks:
        yield tasks.create_task(versions(listener, count))


async def test_redis_restarts_while_rounds_are_published(redis, sqlite_url):
    """Redis killed and started again while a process publishes: subscribers of both see every change once, in order."""
    async with (
        process(sqlite_url, redis.url, compare_interval=0.2) as publisher,
        process(sqlite_url, redis.url, compare_interval=0.2) as other,
        subscribed(publisher, ROUNDS) as near,
        subscribed(other, ROUNDS) as far,
    ):
        for number in range(ROUNDS):
            if number % 20 == 10:
                await asyncio.to_thread(redis.kill)
            if number % 20 == 15:
                await asyncio.to_thread(redis.start)
            await publisher.publish()
        assert await near == await far == list(range(1, ROUNDS + 1))
        await other.news.until_rebuilt(0)


async def test_what_was_missed_comes_as_soon_as_redis_is_back(redis, sqlite_url):
    """What was published while Redis was down is read when it is back, and does not wait for the next comparison."""
    async with (
        process(sqlite_url, redis.url) as publisher,
        process(sqlite_url, redis.url) as other,
        subscribed(other, 1) as far,
    ):
        redis.kill()
        await until(lambda: not (publisher.news.statistics().connected or other.news.statistics().connected))
        await publisher.publish()
        redis.start()
        assert await far == [1]


async def test_redis_is_gone_for_good(redis, sqlite_url):
    """Without Redis, what another process records comes by the comparison of heads."""
    async with (
        process(sqlite_url, redis.url) as publisher,
        process(sqlite_url, redis.url, compare_interval=0.05) as other,
        subscribed(other, 3) as far,
    ):
        redis.kill()
        for _ in range(3):
            await publisher.publish()
        assert await far == [1, 2, 3]
        # One who comes now is let in all the same.
        async with subscribed(other, 1) as late:
            await publisher.publish()
            assert await late == [4]


async def test_postgresql_ends_its_connections_while_rounds_are_published(postgresql_url):
    """When it ends those that listen, a subscriber of another process sees each change once, in order."""
    async with (
        process(postgresql_url, postgresql_url, compare_interval=0.2) as publisher,
        process(postgresql_url, postgresql_url, compare_interval=0.2) as other,
        subscribed(other, ROUNDS) as far,
    ):
        for number in range(ROUNDS):
            if number % 20 == 10:
                await asyncio.to_thread(end_listening_connections, postgresql_url)
            await publisher.publish()
        assert await far == list(range(1, ROUNDS + 1))
        await other.news.until_rebuilt(0)


def end_listening_connections(url):
    with plain_engine(url) as engine, engine.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
        )


async def test_a_broker_that_no_task_shows_to_be_dead(sqlite_url):
    """A broker that takes rounds and carries none is found out by the comparison of heads, and rebuilt."""
    async with (
        process(sqlite_url, "memory://") as publisher,
        process(sqlite_url, faulty(deaf=1), compare_interval=0.02) as deaf,
        subscribed(deaf, 2) as seen,
    ):
        await publisher.publish()
        await until(lambda: deaf.feeds.statistics().gaps == 1)
        assert deaf.news.statistics().rebuilds == 0
        await publisher.publish()
        await deaf.news.until_rebuilt(0)
        assert await seen == [1, 2]
