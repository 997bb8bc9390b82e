"""A client that stands by and must see every change once, in order, whatever others do to the service."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Self

from graphql_api.access.principal import Visibility
from graphql_api.devices.cursor import Cursor
from graphql_api.devices.model import Report, Status
from tests.wire.clients import EVENTS, Socket
from tests.wire.conftest import Server

SCHOOL = "1"
_CHECKER = Visibility(frozenset({SCHOOL}), all_schools=False, scopes=frozenset({"devices:publish"}))


class Witness:
    """A subscriber of all events of the school that the fuzzer publishes to."""

    def __init__(self, server: Server, socket: Socket) -> None:
        self._server = server
        self._socket = socket
        self._news = asyncio.Condition()
        self._statuses = 0
        self.seen = 0
        """The version of the last change that has come."""
        self.cursors: list[str] = []
        """The first cursor and the last."""

    @classmethod
    @contextlib.asynccontextmanager
    async def watching(cls, server: Server) -> AsyncIterator[Self]:
        async with Socket.open(server, server.token(SCHOOL), max_queue=None) as socket:
            await socket.send(id="witness", type="subscribe", payload={"query": EVENTS})
            live = await socket.receive("ping")
            witness = cls(server, socket)
            witness.cursors = [live["payload"]["cursors"]["witness"]] * 2
            witness.seen = Cursor.decode(witness.cursors[0]).version
            reading = asyncio.create_task(witness._read(), name="witness")
            try:
                yield witness
            finally:
                reading.cancel()
                await asyncio.wait([reading])

    async def sees_one_more(self) -> None:
        """That a change published now comes, behind every change before it, each once."""
        self._statuses += 1
        status = ("ONLINE", "OFFLINE")[self._statuses % 2]
        services = self._server.services
        await services.devices.publish(_CHECKER, SCHOOL, [Report("witness", Status(status))])
        head = (await services.store.heads([SCHOOL]))[SCHOOL].version
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: self.seen >= head)

    async def _read(self) -> None:
        while True:
            message = json.loads(await self._socket.connection.recv())
            if message["type"] == "ping":
                continue
            assert message["type"] == "next", message
            cursor = message["payload"]["extensions"]["cursor"]
            async with self._news:
                # A lost, repeated or displaced change is never made good, so sees_one_more() runs out of time.
                if Cursor.decode(cursor).version == self.seen + 1:
                    self.seen += 1
                    self.cursors[1] = cursor
                    self._news.notify_all()
