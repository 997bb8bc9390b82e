"""Who asks for the same shares, whatever the transport; and nobody shares with another school."""

import asyncio
import collections
import contextlib
import functools
import itertools
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect

from graphql_api.delivery.plain import _PlainRenderer
from graphql_api.schema import Rendering
from tests.wire.clients import DEVICES, EVENTS, SUMMARY, Socket, Stream, publish
from tests.wire.test_revocation import token_of
from tests.wire.test_streaming import MULTIPART, SSE, fields, part

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def over_websocket(query, server, token):
    async with Socket.open(server, token) as socket:
        operation_id = await socket.subscribe(query, live=False)

        async def payload() -> Any:
            return await socket.next(operation_id)

        yield payload


@contextlib.asynccontextmanager
async def over_sse(query, server, token):
    async with Stream.open(server, query, token, *SSE) as stream:

        async def payload() -> Any:
            # Checkpoints are ids without data.
            while "data" not in (event := fields(await stream.block())):
                pass
            assert event["event"] == "next"
            return json.loads(event["data"])

        yield payload


@contextlib.asynccontextmanager
async def over_multipart(query, server, token):
    async with Stream.open(server, query, token, *MULTIPART) as stream:
        assert await stream.block() == ""

        async def payload() -> Any:
            while not (message := part(await stream.block())):
                pass
            return message["payload"]

        yield payload


@contextlib.asynccontextmanager
async def over_plain(server, token):
    async with connect(server.plain, additional_headers={"authorization": f"Bearer {token}"}) as connection:
        assert json.loads(await connection.recv())["type"] == "connected"

        async def update() -> Any:
            while (message := json.loads(await connection.recv())) == {"type": "ping"}:
                pass
            assert message["type"] == "device_status_update"
            return message

        yield update


# Seconds until what is waited for will not come any more.
LONGEST = 20

TRANSPORTS = (over_websocket, over_sse, over_multipart)

# Devices and statuses, round by round, of two schools that have none in common.
ROUNDS = {
    "1": [{"a": "ONLINE", "b": "ONLINE"}, {"a": "OFFLINE"}, {"b": "DEGRADED", "a": "ONLINE"}],
    "2": [{"c": "MAINTENANCE"}, {"d": "OFFLINE", "c": "OFFLINE"}, {"c": "UNKNOWN", "d": "MAINTENANCE"}],
}


def events(rounds):
    """Each change by itself."""
    return [[{device_id: status} for device_id, status in each.items()] for each in rounds]


def updates(rounds):
    """One update of the list for a round."""
    return [[each] for each in rounds]


def counts(rounds):
    """How many devices have which status after a round."""
    known = {}
    found = []
    for each in rounds:
        known |= each
        found.append([dict(collections.Counter(known.values()))])
    return found


# What each tells of a round, and how many results come at once, of a school without devices.
WATCHED = {EVENTS: (events, 0), DEVICES: (updates, 1), SUMMARY: (counts, 1)}
watching = pytest.mark.parametrize("query", WATCHED, ids=["deviceStatus", "devices", "statusSummary"])


class Screen:
    """One client, and what it was told of its school: all of it, and in short."""

    def __init__(self, read) -> None:
        self._read = read
        self.payloads: list[Any] = []
        self.told: list[dict[str, Any]] = []

    async def next(self, number: int) -> None:
        for _ in range(number):
            async with asyncio.timeout(LONGEST):
                self.payloads.append(await self._read())
            self.told.append(in_short(self.payloads[-1]))


def in_short(payload) -> dict[str, Any]:
    """Which devices have which statuses, or how many have."""
    match payload:
        case {"data": {"deviceStatus": {"deviceId": device_id, "status": status}}}:
            return {device_id: status}
        case {"data": {"devices": {"changed": changed, "removed": []}}}:
            return {device["deviceId"]: device["status"] for device in changed}
        case {"data": {"statusSummary": {"counts": counted}}}:
            return {each["status"]: each["count"] for each in counted if each["count"]}
        case {"type": "device_status_update", "device_id": device_id, "status": status}:
            return {device_id: status}
        case _:
            raise AssertionError(payload)


@pytest.fixture
def executions(monkeypatch):
    """How many executions were begun, and how many results they and the plain dialect made."""
    made = collections.Counter()

    def counting(of, method, name):
        original = getattr(of, method)

        async def counted(self, *arguments):
            made[name] += 1
            return await original(self, *arguments)

        monkeypatch.setattr(of, method, counted)

    counting(Rendering, "open", "executions")
    counting(Rendering, "render", "results")
    counting(_PlainRenderer, "render", "updates")
    return made


def sharing(server):
    return server.services.statistics().sharing


@contextlib.asynccontextmanager
async def screens(server, ways, *tokens):
    """A screen for each of these tokens, over each of these ways; all of them live."""
    before = sharing(server).live
    async with contextlib.AsyncExitStack() as stack:
        async with asyncio.timeout(LONGEST):
            found = [Screen(await stack.enter_async_context(way(server, token))) for token in tokens for way in ways]
            await server.until(lambda services: services.statistics().sharing.live == before + len(found))
        yield found


def graphql_ways(query):
    return [functools.partial(way, query) for way in TRANSPORTS]


async def tell(server, query, shown):
    """Publish the rounds of the schools in turns, each when all of the school were told of the one before."""
    told_of, at_once = WATCHED[query]
    for screen in itertools.chain(*shown.values()):
        await screen.next(at_once)
    for number in range(3):
        for school, of_school in shown.items():
            await publish(server, token_of(server, "checker", school), **ROUNDS[school][number])
            results = told_of(ROUNDS[school])[number]
            for screen in of_school:
                await screen.next(len(results))
    return {school: [{}] * at_once + list(itertools.chain(*told_of(ROUNDS[school]))) for school in shown}


@watching
async def test_all_transports_share(server, executions, query):
    """Two users on WebSocket, SSE and multipart are one group and one execution, told each change once, in order."""
    tokens = [token_of(server, user, "1") for user in ("one", "another")]
    async with screens(server, graphql_ways(query), *tokens) as shown:
        assert (sharing(server).groups, sharing(server).subscribers) == (1, 6)
        expected = (await tell(server, query, {"1": shown}))["1"]
        for screen in shown:
            assert screen.told == expected
            assert screen.payloads == shown[0].payloads
        assert executions == {"executions": 1, "results": len(expected)}
        assert (sharing(server).groups, sharing(server).subscribers) == (1, 6)
    async with asyncio.timeout(LONGEST):
        await server.until(lambda services: services.statistics().sharing.groups == 0)


async def test_the_plain_dialect_shares_too(server, executions):
    """Users of the plain dialect are one group beside that of GraphQL, and each change is written once for each."""
    tokens = [token_of(server, user, "1") for user in ("one", "another")]
    async with (
        screens(server, graphql_ways(EVENTS), *tokens) as graphql,
        screens(server, [over_plain], *tokens) as plain,
    ):
        assert (sharing(server).groups, sharing(server).subscribers) == (2, 8)
        expected = (await tell(server, EVENTS, {"1": [*graphql, *plain]}))["1"]
        for screen in (*graphql, *plain):
            assert screen.told == expected
        assert plain[0].payloads == plain[1].payloads
        cursors = [payload["extensions"]["cursor"] for payload in graphql[0].payloads]
        assert [update["cursor"] for update in plain[0].payloads] == cursors
        assert executions == {"executions": 1, "results": len(expected), "updates": len(expected)}


@watching
async def test_two_schools_never_share(server, executions, query):
    """Users of two schools who ask for the same are a group for each, and nothing of one is told in the other."""
    ways = [*graphql_ways(query), *([over_plain] if query is EVENTS else [])]
    async with contextlib.AsyncExitStack() as stack:
        shown = {
            school: await stack.enter_async_context(screens(server, ways, token_of(server, "somebody", school)))
            for school in ROUNDS
        }
        assert sharing(server).subscribers == 2 * len(ways)
        assert sharing(server).groups == (4 if over_plain in ways else 2)
        expected = await tell(server, query, shown)
        assert {school: [each.told for each in of_school] for school, of_school in shown.items()} == {
            school: [expected[school]] * len(ways) for school in ROUNDS
        }
        assert executions["executions"] == 2
