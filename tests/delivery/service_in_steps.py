"""The whole service without a wire, on a loop that runs only while a test's step waits for something."""

import asyncio
import contextlib
import sqlite3
import tempfile
from pathlib import Path

from graphql_api.devices.feeds import Feeds
from graphql_api.devices.service import DeviceService
from graphql_api.devices.store import Store
from graphql_api.errors import Unavailable
from tests.devices.conftest import SettableClock
from tests.devices.scripted_news import ScriptedNews
from tests.listening import listening_to

# What is to be restored of a school.
_TABLES = ["school", "device", "change"]


class ServiceInSteps:
    """A store, scripted news, and all who share what comes of them."""

    def __init__(self, *, max_replay):
        self._max_replay = max_replay
        self._runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self.clock = SettableClock()
        self.failing = 0
        """Reads of the store that are going to fail."""
        self.run(self._open())

    def run(self, work):
        return self._runner.run(work)

    def turns(self, count):
        """Let the loop go round, without waiting for anything that a thread is asked for."""

        async def go_round():
            for _ in range(count):
                await asyncio.sleep(0)

        self.run(go_round())

    async def _open(self):
        enter = self._stack.enter_async_context
        self.store = await Store.open(f"sqlite:///{self.folder}/devices.db", clock=self.clock)
        self._stack.push_async_callback(self.store.close)
        self._read, self.store._database.read = self.store._database.read, self._read_or_fail
        self.news = ScriptedNews()
        # Three rounds of four changes are remembered, and as much of what was rendered.
        self.feeds = await enter(Feeds(store=self.store, news=self.news, compare_interval=3_600, recent_limit=4_800))
        self.devices = DeviceService(
            store=self.store, news=self.news, feeds=self.feeds, revoking=None, max_replay=self._max_replay
        )
        self.listeners = await enter(listening_to(self.devices, rendered_limit=10_000, unfinished_limit=300))

    async def _read_or_fail(self, work):
        if self.failing:
            self.failing -= 1
            raise Unavailable("away")
        return await self._read(work)

    def fail(self, reads, renderings):
        """Have so many of the next ones fail."""
        self.failing, self.listeners.failing = reads, renderings

    def begun_anew(self):
        """How often anything has made anybody begin a snapshot anew."""
        return self.listeners.sharing.statistics().unfinished.forgotten + self.feeds.statistics().resets

    def back_up(self, school):
        """A school's rows as they are now: by table."""
        with self._database() as connection:
            return {
                table: connection.execute(f"SELECT * FROM {table} WHERE school_id = ?", [school]).fetchall()
                for table in _TABLES
            }

    def restore(self, school, backup):
        """Put them in the place of those of now."""
        with self._database() as connection:
            for table, rows in backup.items():
                connection.execute(f"DELETE FROM {table} WHERE school_id = ?", [school])
                for row in rows:
                    connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)

    @contextlib.contextmanager
    def _database(self):
        with contextlib.closing(sqlite3.connect(self.folder / "devices.db")) as connection, connection:
            yield connection

    def close(self):
        with self._runner:
            self.run(self._stack.aclose())
