"""News that say what a test lets them say: lost, repeated, reordered, late, or failing."""

import asyncio
from contextlib import asynccontextmanager

from graphql_api.devices.model import Round
from graphql_api.devices.news.announcement import Announcement


def announcement(news: Round, *, with_changes: bool = True) -> Announcement:
    return Announcement(
        news.first,
        news.last,
        news.changes[-1].timestamp,
        news.last_report_at,
        news.changes if with_changes else (),
        news.before,
    )


class ScriptedNews:
    """Stands in for News: what is announced goes nowhere unless the test says it."""

    def __init__(self):
        self.announced = []
        self.connected = True
        self.listening = 0
        self.suspected = 0
        self.rebuilds = 0
        self._rebuilt = asyncio.Event()
        self._queues = {}

    def announce(self, news):
        self.announced.append(news)

    def say(self, school, item):
        """Let the school's listener hear an announcement, or fail with an exception."""
        self._queues[school].put_nowait(item)

    def suspect(self):
        self.suspected += 1

    def rebuild(self):
        """Let the broadcaster come back."""
        self.rebuilds += 1
        self._rebuilt.set()

    async def until_rebuilt(self, rebuilds):
        while self.rebuilds <= rebuilds:
            self._rebuilt.clear()
            await self._rebuilt.wait()
        return self.rebuilds

    @asynccontextmanager
    async def listen(self, school):
        queue = self._queues[school] = asyncio.Queue()
        self.listening += 1

        async def announcements():
            while True:
                item = await queue.get()
                if isinstance(item, Exception):
                    raise item
                yield item

        try:
            yield announcements()
        finally:
            self.listening -= 1
