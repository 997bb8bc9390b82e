"""Signs of life on all connections of the process, from one task: idle connections cost no timer."""

import asyncio
import logging
from typing import Protocol

from graphql_api.delivery.breath import Breath

__all__ = ["Alive", "Heartbeat"]

logger = logging.getLogger(__name__)

# Parts of the interval: in each of them as many connections have their turn as came in one.
_PARTS = 16


class Alive(Protocol):
    """A connection that is kept alive; compared by identity."""

    def keep_alive(self) -> None:
        """Give a sign of life."""


class Heartbeat:
    """Calls each connection once in every interval, the first time a whole interval after it came."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._parts: list[dict[Alive, None]] = [{} for _ in range(_PARTS)]
        self._now = 0

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def add(self, connection: Alive) -> int:
        """Begin; returns what :meth:`remove` wants to know."""
        self._parts[self._now][connection] = None
        return self._now

    def remove(self, part: int, connection: Alive) -> None:
        """End. May be repeated."""
        self._parts[part].pop(connection, None)

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + self._interval / _PARTS, loop.time())
            await asyncio.sleep(due - loop.time())
            self._now = (self._now + 1) % _PARTS
            part = self._parts[self._now]
            breath = Breath()
            for connection in list(part):
                if connection in part:
                    _call(connection)
                if breath.is_due:
                    await breath.take()


def _call(connection: Alive) -> None:
    try:
        connection.keep_alive()
    except Exception:  # one connection's defect must not end the others' signs of life
        logger.exception("A sign of life could not be given.")
