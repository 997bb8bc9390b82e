"""The example conversations of schema/PROTOCOL.md, held again: each goes as it is written there."""

import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.wire.clients import publish
from tests.wire.conftest import serve
from tests.wire.test_stopping import flood

pytestmark = pytest.mark.anyio

PROTOCOL = Path(__file__).parents[2] / "schema" / "PROTOCOL.md"
QUERY = "subscription { deviceStatus { kind deviceId status } }"
SUBSCRIBE = {"id": "1", "type": "subscribe", "payload": {"query": QUERY}}
# Values that are others in each run.
VOLATILE = {"authorization", "cursor", "expiresAt", "1"}


def documented(number: int) -> list[str]:
    """The lines of an example: of the client (>), of the service (<), closing (!), and what happens meanwhile (#)."""
    text = PROTOCOL.read_text(encoding="utf-8")
    (section,) = re.findall(rf"^### {number}\. .*?```text\n(.*?)```", text, re.DOTALL | re.MULTILINE)
    return section.splitlines()


def shape(line: str) -> str:
    """A line with what differs from run to run left out."""
    mark, _, rest = line.partition(" ")
    return f"{mark} {json.dumps(_without_volatile(json.loads(rest)))}" if mark in "<>" else line


def _without_volatile(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: "..." if key in VOLATILE and isinstance(inner, str) else _without_volatile(inner)
            for key, inner in value.items()
        }
    return [_without_volatile(each) for each in value] if isinstance(value, list) else value


class Recorder:
    """Clients of one conversation, and all that is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.cursor = ""

    def note(self, text: str) -> None:
        self.lines.append(f"# {text}")

    @contextlib.asynccontextmanager
    async def connected(self, server, token: str, *, resume: bool = False, **options: Any) -> AsyncIterator[Self]:
        """A connection, from its acknowledgement on."""
        async with connect(
            server.ws, subprotocols=["graphql-transport-ws"], close_timeout=0.5, **options
        ) as self.connection:
            payload: dict[str, Any] = {"authorization": f"Bearer {token}"}
            if resume:
                payload["resumeFrom"] = {"1": self.cursor}
            await self.send({"type": "connection_init", "payload": payload})
            await self.receive()
            yield self

    async def send(self, message: dict[str, Any]) -> None:
        self.lines.append(f"> {json.dumps(message)}")
        await self.connection.send(json.dumps(message))

    async def receive(self, times: int = 1) -> None:
        for _ in range(times):
            text = await self.connection.recv()
            self.lines.append(f"< {json.dumps(json.loads(text))}")
            payload = json.loads(text)["payload"]
            if found := payload.get("extensions", {}).get("cursor") or payload.get("cursors", {}).get("1"):
                self.cursor = found

    async def closed(self) -> None:
        with pytest.raises(ConnectionClosed) as closed:
            await self.connection.recv()
        assert closed.value.rcvd is not None
        self.lines.append(f"! {closed.value.rcvd.code} {closed.value.rcvd.reason}")

    def compare(self, number: int) -> None:
        assert [shape(line) for line in self.lines] == [shape(line) for line in documented(number)], "\n".join(
            self.lines
        )


async def test_example_1_first_connect(server):
    """A client connects, subscribes, and is told that it is live before the first change comes (G-4, G-5)."""
    said = Recorder()
    async with said.connected(server, server.token()):
        await said.send(SUBSCRIBE)
        await said.receive()
        said.note("board-7 is reported ONLINE")
        await publish(server, server.token(), **{"board-7": "ONLINE"})
        await said.receive()
    said.compare(1)


async def test_example_2_resume(server):
    """A client whose connection was cut comes back with its newest cursor, and gets what it missed (G-6, G-7)."""
    said = Recorder()
    token = server.token()
    async with said.connected(server, token):
        await said.send(SUBSCRIBE)
        await said.receive()
        said.connection.transport.abort()
    said.note("the connection is cut; board-7 is reported ONLINE, then OFFLINE; the client connects again")
    for status in ("ONLINE", "OFFLINE"):
        await publish(server, token, **{"board-7": status})
    async with said.connected(server, token, resume=True):
        await said.send(SUBSCRIBE)
        await said.receive(3)
    said.compare(2)


async def test_example_3_not_recovered(server):
    """A cursor that the log can't go on from is answered with a snapshot, and then the changes (G-9)."""
    said = Recorder()
    token = server.token()
    await publish(server, token, **{"board-7": "ONLINE", "reader-2": "OFFLINE"})
    said.cursor = "Y3Vyc29yIG9mIGFub3RoZXIgZGF0YWJhc2U"
    async with said.connected(server, token, resume=True):
        await said.send(SUBSCRIBE)
        await said.receive(3)
        said.note("board-7 is reported OFFLINE")
        await publish(server, token, **{"board-7": "OFFLINE"})
        await said.receive()
    said.compare(3)


async def test_example_4_expiry(server):
    """A token expires, the socket is closed, and with a new one the client goes on where it was (G-6, G-12)."""
    said = Recorder()
    async with said.connected(server, server.token(ttl=60)):
        await said.send(SUBSCRIBE)
        await said.receive()
        said.note("the token expires; board-7 is reported ONLINE")
        server.clock.advance(61)
        await publish(server, server.token(), **{"board-7": "ONLINE"})
        await said.closed()
    said.note("the client gets a new token and connects again")
    async with said.connected(server, server.token(), resume=True):
        await said.send(SUBSCRIBE)
        await said.receive(2)
    said.compare(4)


async def test_example_5_slow_client(settings, secret):
    """A client that takes nothing is let go, comes back, and is served from the log (G-6, G-15)."""
    said = Recorder()
    async with serve(settings.model_copy(update={"stalled_timeout": 0.3}), secret) as server:
        token = server.token()
        async with said.connected(server, token, max_queue=1):
            await said.send(SUBSCRIBE)
            await said.receive()
            said.connection.transport.pause_reading()
            await flood(server, 12)
            await publish(server, token, **{"board-7": "OFFLINE"})
            await server.until(lambda services: services.statistics().delivery.graphql_sockets == 0)
            said.connection.transport.abort()
        said.note("the client stops reading; 12,000 changes later it has been let go (1013, which it does not read)")
        said.note("it connects again, and asks for what it still shows")
        async with said.connected(server, token, resume=True):
            named = 'subscription { deviceStatus(deviceIds: ["board-7"]) { kind deviceId status } }'
            await said.send({**SUBSCRIBE, "payload": {"query": named}})
            await said.receive(2)
    said.compare(5)


async def test_example_6_restart(settings, secret):
    """A server that stops says 1012; another process takes the client on where it was (G-6, G-16)."""
    said = Recorder()
    async with serve(settings, secret) as server, said.connected(server, server.token()):
        await said.send(SUBSCRIBE)
        await said.receive()
        server.stop()
        await said.closed()
    said.note("another process serves; board-7 is reported ONLINE; the client connects again")
    async with serve(settings, secret) as server:
        await publish(server, server.token(), **{"board-7": "ONLINE"})
        async with said.connected(server, server.token(), resume=True):
            await said.send(SUBSCRIBE)
            await said.receive(2)
    said.compare(6)
