"""A store that is restored or swapped under connected clients, on real databases."""

import asyncio
import collections
import contextlib
import itertools
import sqlite3
import uuid
from pathlib import Path
from types import MappingProxyType

import pytest
import sqlalchemy as sa

from graphql_api.devices import renewal
from graphql_api.devices.cursor import Cursor
from graphql_api.devices.model import DeviceFilter, Status
from tests.devices.conftest import plain_engine, postgresql_url  # noqa: F401 - a fixture
from tests.wire.clients import DEVICES, EVENTS, SUMMARY, GraphQLError, Socket, publish
from tests.wire.conftest import serve

pytestmark = pytest.mark.anyio

STATUSES = itertools.cycle(["ONLINE", "OFFLINE"])


class SQLiteFile:
    """A SQLite database that an operator restores."""

    def __init__(self, path):
        self.path = path
        self.url = f"sqlite:///{path}"
        self.backup = path.with_name("backup.db")

    def back_up(self):
        with (
            contextlib.closing(sqlite3.connect(self.path)) as live,
            contextlib.closing(sqlite3.connect(self.backup)) as copy,
        ):
            live.backup(copy)

    def restore(self):
        self.backup.rename(self.path)

    def empty(self):
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def close(self):
        pass


class PostgreSQLDatabase:
    """A PostgreSQL database that an operator restores."""

    def __init__(self, url):
        self.url = url
        self.name = sa.make_url(url).database
        self.backup = f"backup_{uuid.uuid4().hex}"
        self.replaced = f"replaced_{uuid.uuid4().hex}"

    def back_up(self):
        self._execute(
            f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false",
            self._end_sessions(),
            f"CREATE DATABASE {self.backup} TEMPLATE {self.name}",
            f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS true",
        )

    def restore(self):
        self._execute(
            f"ALTER DATABASE {self.name} ALLOW_CONNECTIONS false",
            self._end_sessions(),
            f"ALTER DATABASE {self.name} RENAME TO {self.replaced}",
            f"ALTER DATABASE {self.backup} RENAME TO {self.name}",
        )

    def empty(self):
        self._execute(f"DROP DATABASE {self.name} WITH (FORCE)", f"CREATE DATABASE {self.name}")

    def close(self):
        self._execute(f"DROP DATABASE IF EXISTS {self.backup}", f"DROP DATABASE IF EXISTS {self.replaced}")

    def _end_sessions(self):
        return f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self.name}'"

    def _execute(self, *statements):
        server = sa.make_url(self.url).set(database="postgres").render_as_string(hide_password=False)
        with plain_engine(server) as engine:
            unbegun = engine.execution_options(isolation_level="AUTOCOMMIT")
            with unbegun.connect() as connection:
                for statement in statements:
                    connection.exec_driver_sql(statement)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    if request.param == "sqlite":
        made = SQLiteFile(tmp_path / "devices.db")
    else:
        made = PostgreSQLDatabase(request.getfixturevalue("postgresql_url"))
    yield made
    made.close()


@pytest.fixture
async def server(settings, secret, database, monkeypatch):
    monkeypatch.setattr(renewal, "GRACE", 0.2)
    changed = {"database_url": type(settings.database_url)(database.url), "feed_compare_interval": 0.1}
    async with serve(settings.model_copy(update=changed), secret) as running:
        yield running


class Subscriber:
    """Reads one subscription to a cursor, and folds what it is told."""

    def __init__(self, socket, operation_id):
        self.socket = socket
        self.operation_id = operation_id
        self.told = []
        self.devices = {}

    async def until(self, cursor):
        while True:
            payload = await self.socket.next(self.operation_id)
            (value,) = payload["data"].values()
            self.told.append(value)
            self.take(value)
            if payload.get("extensions", {}).get("cursor") == cursor:
                return


class EventSubscriber(Subscriber):
    query = EVENTS
    variables = MappingProxyType({"snapshot": True})

    def __init__(self, socket, operation_id):
        super().__init__(socket, operation_id)
        self.place = None
        self.in_snapshot = False

    def take(self, event):
        """Fold, and check the order: a change follows the one before, or a snapshot, or begins another database."""
        cursor = Cursor.decode(event["cursor"]) if event["cursor"] else None
        if event["kind"] == "SNAPSHOT":
            if not self.in_snapshot:
                self.devices = {}
            self.in_snapshot = cursor is None
        elif self.place.epoch == cursor.epoch:
            assert cursor.version == self.place.version + 1
        else:
            self.devices = {}
            assert cursor.version == 1
        self.devices[event["deviceId"]] = event["status"]
        self.place = cursor or self.place


class ListSubscriber(Subscriber):
    query = DEVICES
    variables = MappingProxyType({})

    def take(self, update):
        if update["reset"]:
            self.devices = {}
        self.devices |= {device["deviceId"]: device["status"] for device in update["changed"]}
        assert not update["removed"]


class SummarySubscriber(Subscriber):
    query = SUMMARY
    variables = MappingProxyType({})

    def take(self, summary):
        self.counts = {each["status"]: each["count"] for each in summary["counts"] if each["count"]}


async def flip(server, token, device_id):
    """A round that is a change, repeated until the store takes it. Returns the cursor after it."""
    status = next(STATUSES)
    while True:
        try:
            recorded = await publish(server, token, **{device_id: status})
        except GraphQLError as error:
            if error.code != "UNAVAILABLE":
                raise
            await asyncio.sleep(0.02)
        else:
            if recorded["changed"]:
                return recorded["cursor"]
            status = next(STATUSES)


@contextlib.asynccontextmanager
async def subscribed(server, token):
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for kind in (EventSubscriber, ListSubscriber, SummarySubscriber):
            socket = await stack.enter_async_context(Socket.open(server, token))
            found.append(kind(socket, await socket.subscribe(kind.query, live=False, **kind.variables)))
        yield found


async def all_until(subscribers, cursor):
    async with asyncio.TaskGroup() as tasks:
        for subscriber in subscribers:
            tasks.create_task(subscriber.until(cursor))


async def check(server, subscribers):
    """That what each was told comes to what the store holds."""
    snapshot = await server.services.store.snapshot("1", DeviceFilter(None, frozenset(Status)))
    devices = {device.device_id: device.status.name for device in snapshot.devices}
    events, listed, summary = subscribers
    assert listed.devices == devices
    assert summary.counts == collections.Counter(devices.values())
    assert {device_id: events.devices[device_id] for device_id in devices} == devices
    cursors = [event["cursor"] for event in events.told if event["kind"] == "CHANGE"]
    assert len(cursors) == len(set(cursors))


async def swapped_under_subscribers(server, token, swap):
    """Subscribers who are live as the store is swapped, with rounds before, meanwhile and after."""
    async with subscribed(server, token) as subscribers:
        for device_id in ("a", "b", "c", "a"):
            before = await flip(server, token, device_id)
        await all_until(subscribers, before)
        await check(server, subscribers)
        told = [len(subscriber.told) for subscriber in subscribers]

        async def rounds():
            for number in range(20):
                await flip(server, token, f"x{number % 4}")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(rounds())
            await asyncio.sleep(0.01)
            await asyncio.to_thread(swap)
        await server.until(lambda services: services.statistics().feeds.resets == 1)
        for device_id in ("a", "y", "a"):
            last = await flip(server, token, device_id)
        await all_until(subscribers, last)
        await check(server, subscribers)
        assert server.services.statistics().feeds.resets == 1
        return [subscriber.told[count:] for subscriber, count in zip(subscribers, told, strict=True)]


async def test_a_restored_backup_reaches_connected_subscribers(server, database, caplog):
    """Over an older backup each is told in band, ends equal to the store, and gets no event twice (G-9)."""
    token = server.token()
    for device_id in ("a", "b", "old"):
        await flip(server, token, device_id)
    database.back_up()
    events, updates, _ = await swapped_under_subscribers(server, token, database.restore)
    snapshot = [event["deviceId"] for event in events if event["kind"] == "SNAPSHOT"]
    assert {"a", "b", "old"} <= set(snapshot)
    assert "c" not in snapshot
    assert len(snapshot) == len(set(snapshot))
    assert [update["reset"] for update in updates].count(True) == 1
    assert caplog.text.count("is not the one from before") == 1


async def test_an_empty_database_reaches_connected_subscribers(server, database, caplog):
    """Over an empty database each ends equal to what is recorded in it, lists by an update that says so."""
    token = server.token()
    await flip(server, token, "old")
    events, updates, _ = await swapped_under_subscribers(server, token, database.empty)
    assert [update["reset"] for update in updates].count(True) == 1
    assert "old" not in {event["deviceId"] for event in events}
    assert caplog.text.count("is not the one from before") == 1
    assert "its tables were made anew" in caplog.text


async def test_quiet_subscribers_are_told_of_a_restored_backup(server, database):
    """Without any round being published, the comparison of heads notices, and subscribers are told (G-9)."""
    token = server.token()
    for device_id in ("a", "b"):
        kept = await flip(server, token, device_id)
    database.back_up()
    async with subscribed(server, token) as subscribers:
        await all_until(subscribers, await flip(server, token, "a"))
        database.restore()
        await all_until(subscribers, kept)
        await check(server, subscribers)
        assert [event["kind"] for event in subscribers[0].told] == [*["SNAPSHOT"] * 2, "CHANGE", *["SNAPSHOT"] * 2]
        assert [update["reset"] for update in subscribers[1].told] == [True, False, True]


async def test_cursors_from_after_the_backup_are_not_recovered(server, database):
    """Who comes back with a cursor of what was lost is not recovered; one from before the backup is (G-9)."""
    token = server.token()
    first = await flip(server, token, "a")
    kept = await flip(server, token, "b")
    database.back_up()
    lost = await flip(server, token, "a")
    database.restore()
    await flip(server, token, "b")
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(EVENTS, live=False, resume_from=lost)
        assert {(await socket.item(operation_id))["kind"] for _ in range(2)} == {"SNAPSHOT"}
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(EVENTS, live=False, resume_from=first)
        assert (await socket.item(operation_id))["cursor"] == kept
        assert (await socket.item(operation_id))["kind"] == "CHANGE"
