"""A client as an unmodified graphql-ws is one: it reconnects for ever, with the cursors that it was told."""

import asyncio
import contextlib
import itertools
import json
import random
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from tests.faults.history import History
from tests.faults.waiting import Moving

# After these a graphql-ws client does not come back: its "fatal" close codes.
FINAL = {4400, 4401, 4406, 4409, 4429, 4500, 4004, 4005}
COMES_BACK = {1000, 1001, 1005, 1006, 1012, 1013, 1014}


class Watcher(Protocol):
    """What a client does with the results of one operation."""

    query: str
    variables: dict[str, Any]

    def take(self, data: dict[str, Any]) -> None: ...

    def checkpoint(self, cursor: str) -> None: ...

    def agrees_with(self, history: History) -> bool: ...

    def check(self, history: History, before: History | None) -> None: ...


class Client(Moving):
    """One socket at a time, with any number of watchers on it.

    ``cursors`` is kept by the five lines that docs/design.md shows: from results and checkpoints, until an operation
    ends.
    """

    def __init__(self, url: str, token: str, *, receive_buffer: int | None = None) -> None:
        super().__init__()
        self.url = url
        """Where the next connection goes."""
        self.cursors: dict[str, str] = {}
        self.connections = 0
        self.messages = 0
        self.on_message: Callable[[dict[str, Any]], None] = lambda _: None
        """Called after each message has been dealt with; may cut the connection."""
        self._token = token
        self._receive_buffer = receive_buffer
        self._watchers: dict[str, Watcher] = {}
        self._ids = map(str, itertools.count(1))
        self._connection: ClientConnection | None = None
        self._pongs: set[str] = set()
        self._reading = asyncio.Event()
        self._reading.set()
        self._allowed = asyncio.Event()
        self._allowed.set()

    def __repr__(self) -> str:
        return f"<client of {self.url}: {self.connections} connections, {self.messages} messages, {self._watchers}>"

    @property
    def is_live(self) -> bool:
        """Whether each operation has been given a cursor: from here on nothing may be lost."""
        return self._connection is not None and set(self._watchers) <= set(self.cursors)

    @property
    def watchers(self) -> list[Watcher]:
        return list(self._watchers.values())

    async def watch(self, watcher: Watcher, operation_id: str | None = None) -> str:
        """Subscribe, now and after each reconnect; returns the operation's id."""
        operation_id = operation_id or next(self._ids)
        self._watchers[operation_id] = watcher
        if self._connection is not None:
            await self._subscribe(self._connection, operation_id)
        return operation_id

    async def unwatch(self, operation_id: str) -> Watcher:
        """Complete an operation, whose id may then be used again."""
        watcher = self._watchers.pop(operation_id)
        await self._send(self._connection, type="complete", id=operation_id)
        await self.barrier()
        self.cursors.pop(operation_id, None)
        return watcher

    def cut(self) -> None:
        """Reset the TCP connection; what was received and not read is lost."""
        if self._connection is not None:
            self._connection.transport.abort()
            self._connection = None

    def stop_reading(self) -> None:
        self._reading.clear()

    def read_on(self) -> None:
        self._reading.set()

    async def disconnect(self) -> None:
        """Be offline until :meth:`reconnect`."""
        self._allowed.clear()
        self.cut()

    def reconnect(self) -> None:
        self._allowed.set()

    async def barrier(self) -> None:
        """All that the service had sent before has been dealt with."""
        mark = f"barrier {next(self._ids)}"
        connection = self._connection
        assert connection is not None, "no barrier without a connection"
        await self._send(connection, type="ping", payload={"mark": mark})
        await self.until(lambda: mark in self._pongs)

    async def run(self) -> None:
        """Connect again and again, until cancelled.

        Raises:
            AssertionError: the service ended an operation, or closed for good.
        """
        while True:
            await self._allowed.wait()
            try:
                async with self._connected() as connection:
                    await self._converse(connection)
            except (OSError, InvalidHandshake, InvalidMessage, TimeoutError):
                pass
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else 1006
                final = code in FINAL or (code < 2000 and code not in COMES_BACK)
                if final:
                    raise AssertionError("the service closed for good") from closed
            finally:
                self._connection = None
            await asyncio.sleep(random.uniform(0.01, 0.05))

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[ClientConnection]:
        options: dict[str, Any] = {"subprotocols": ["graphql-transport-ws"], "proxy": None, "ping_interval": None}
        if self._receive_buffer is not None:
            options["sock"] = await self._narrow_socket(self._receive_buffer)
        async with connect(self.url, open_timeout=5, close_timeout=0.2, compression=None, **options) as connection:
            yield connection

    async def _narrow_socket(self, size: int) -> socket.socket:
        host, port = self.url.removeprefix("ws://").partition("/")[0].split(":")
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
        narrow.setblocking(False)
        await asyncio.get_running_loop().sock_connect(narrow, (host, int(port)))
        return narrow

    async def _converse(self, connection: ClientConnection) -> None:
        payload = {"authorization": f"Bearer {self._token}", "resumeFrom": self.cursors}
        await self._send(connection, type="connection_init", payload=payload)
        ack = json.loads(await asyncio.wait_for(connection.recv(), 5))
        assert ack["type"] == "connection_ack", ack
        self.connections += 1
        self._connection = connection
        for operation_id in list(self._watchers):
            await self._subscribe(connection, operation_id)
        async for text in connection:
            await self._reading.wait()
            await self._take(connection, json.loads(text))
            self.messages += 1
            self.move()
            if self._connection is not connection:
                return

    async def _take(self, connection: ClientConnection, message: dict[str, Any]) -> None:
        match message["type"]:
            case "next":
                if cursor := message["payload"].get("extensions", {}).get("cursor"):
                    self.cursors[message["id"]] = cursor
                assert not message["payload"].get("errors"), message
                if watcher := self._watchers.get(message["id"]):
                    watcher.take(message["payload"]["data"])
            case "ping":
                for operation_id, cursor in (message.get("payload") or {}).get("cursors", {}).items():
                    self.cursors[operation_id] = cursor
                    if watcher := self._watchers.get(operation_id):
                        watcher.checkpoint(cursor)
                await self._send(connection, type="pong", payload=message.get("payload"))
            case "pong":
                self._pongs.add((message.get("payload") or {}).get("mark"))
            case _:
                raise AssertionError(f"the service ended what nobody asked it to end: {message}")
        self.on_message(message)

    async def _subscribe(self, connection: ClientConnection, operation_id: str) -> None:
        watcher = self._watchers[operation_id]
        payload = {"query": watcher.query, "variables": watcher.variables}
        await self._send(connection, type="subscribe", id=operation_id, payload=payload)

    @staticmethod
    async def _send(connection: ClientConnection, **message: Any) -> None:
        # A connection that is gone is noticed where it is read.
        with contextlib.suppress(ConnectionClosed):
            await connection.send(json.dumps(message))


@contextlib.asynccontextmanager
async def watching(url: str, token: str, *watchers: Watcher, **options: Any) -> AsyncIterator[Client]:
    """A client with these watchers, all of them live; leaving it ends it."""
    client = Client(url, token, **options)
    for watcher in watchers:
        await client.watch(watcher)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(client.run())
        try:
            await client.until(lambda: client.is_live)
            yield client
        finally:
            running.cancel()
