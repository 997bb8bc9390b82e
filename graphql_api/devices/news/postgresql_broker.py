"""PostgreSQL as a broker (LISTEN and NOTIFY): a backend for the broadcaster library.

The library's own one has a single connection, which two publishers at once break, and whose end it does not notice.
"""

import asyncio
import secrets
from collections import deque
from typing import Any

from broadcaster._backends.base import BroadcastBackend
from broadcaster._base import Event
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Composed, Identifier

from graphql_api.devices.engines import LIBPQ_DEFAULTS

__all__ = ["PAYLOAD_LIMIT", "PostgreSQLBackend"]

PAYLOAD_LIMIT = 7_999
"""Bytes of the biggest payload: https://www.postgresql.org/docs/current/sql-notify.html"""


class PostgreSQLBackend(BroadcastBackend):
    """Publishes on one connection and listens on another; :meth:`next_published` fails when that one ends.

    Who waits for notifications has the connection for himself. So the one task that listens also sends the LISTENs,
    and is woken for them by a notification of our own.
    """

    def __init__(self, url: str) -> None:
        self._parameters: dict[str, Any] = {**LIBPQ_DEFAULTS, **conninfo_to_dict(url)}
        self._own_channel = f"ds:{secrets.token_hex(16)}"
        self._connections: list[AsyncConnection[Any]] = []
        self._commands: deque[tuple[Composed, asyncio.Future[None]]] = deque()
        self._received: deque[Event] = deque()

    async def connect(self) -> None:
        """Make both connections."""
        for _ in range(2):
            connection = await AsyncConnection.connect(**self._parameters, autocommit=True)
            self._connections.append(connection)
        self._listening, self._publishing = self._connections
        await self._listening.execute(SQL("LISTEN {}").format(Identifier(self._own_channel)))

    async def disconnect(self) -> None:
        """Close the connections."""
        while self._connections:
            await self._connections.pop().close()

    async def subscribe(self, group: str) -> None:
        """Subscribe to a channel, and wait until that is in force."""
        await self._command(SQL("LISTEN {}").format(Identifier(group)))

    async def unsubscribe(self, group: str) -> None:
        """Leave a channel."""
        await self._command(SQL("UNLISTEN {}").format(Identifier(group)))

    async def publish(self, channel: str, message: Any) -> None:
        """Tell all who listen."""
        await self._publishing.execute("SELECT pg_notify(%s, %s)", [channel, message])

    async def next_published(self) -> Event:
        """Wait for the next message."""
        while not self._received:
            while self._commands:
                command, done = self._commands.popleft()
                await self._listening.execute(command)
                if not done.done():
                    done.set_result(None)
            # Ends with the notifications that have come together.
            async for notification in self._listening.notifies(stop_after=1):
                if notification.channel != self._own_channel:
                    self._received.append(Event(notification.channel, notification.payload))
        return self._received.popleft()

    async def _command(self, command: Composed) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._commands.append((command, done))
        await self.publish(self._own_channel, "")
        await done
