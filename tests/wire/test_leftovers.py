"""Clients that go, politely or not, leave nothing behind."""

import asyncio
import base64
import contextlib
import dataclasses
import itertools
import secrets

import orjson
import pytest
from websockets.asyncio.client import connect

from tests.wire.clients import DEVICES, EVENTS, SUMMARY, Socket, publish
from tests.wire.conftest import SendPath

pytestmark = pytest.mark.anyio


def nothing_left(services) -> bool:
    """Whether the services count nothing that a client could have left, and no task of its is left."""
    statistics = services.statistics()
    return (
        not any(dataclasses.astuple(statistics.delivery))
        and statistics.sharing.groups == statistics.sharing.subscribers == 0
        and statistics.feeds.feeds == statistics.feeds.listeners == statistics.news.channels == 0
        and statistics.feeds.recent.bytes == statistics.feeds.recent.rounds == 0
        and not tasks_of_server()
    )


TASKS = (
    "feed",
    "feed gaps",
    "hub",
    "opening a group",
    "closing a group",
    "group",
    "rendering",
    "operation",
    "outgoing",
    "incoming",
)


def tasks_of_server() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks() if task.get_name() in TASKS}


async def test_two_hundred_clients_cut_off_leave_nothing_behind(server):
    """After 200 subscribed clients are cut off without a close frame, every count is back at zero (G-21)."""
    token = server.token()
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(Socket.open(server, token)) for _ in range(200)]
        for socket in sockets:
            await socket.subscribe(EVENTS)
            await socket.subscribe(DEVICES, live=False)
        await server.until(lambda services: services.statistics().sharing.subscribers == 400)
        await publish(server, token, a="ONLINE")
        for socket in sockets:
            socket.connection.transport.abort()
        await server.until(nothing_left)


async def test_two_hundred_clients_cut_off_at_any_point_leave_nothing_behind(server):
    """Cutting clients off between any two steps of connecting and subscribing leaves nothing behind (G-21)."""
    token = server.token()

    async def come_and_go(steps: int) -> None:
        async with connect(server.ws, subprotocols=["graphql-transport-ws"]) as connection:
            socket = Socket(connection)
            if steps > 0:
                await socket.send(type="connection_init", payload={"authorization": f"Bearer {token}"})
            for query in (EVENTS, SUMMARY, DEVICES)[: steps - 1]:
                await socket.subscribe(query, live=False)
            connection.transport.abort()

    async with asyncio.TaskGroup() as tasks:
        for number in range(200):
            tasks.create_task(come_and_go(number % 5))
    await server.until(nothing_left)


async def test_plain_clients_cut_off_leave_nothing_behind(server):
    """After plain clients are cut off without a close frame, every count is back at zero."""
    headers = {"authorization": f"Bearer {server.token()}"}
    async with contextlib.AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(connect(server.plain, additional_headers=headers)) for _ in range(20)
        ]
        for connection in connections:
            await connection.recv()
        assert server.services.statistics().sharing.subscribers == 20
        for connection in connections:
            connection.transport.abort()
        await server.until(nothing_left)


async def test_the_last_one_out_leaves_the_channel_and_the_next_one_in_hears(server):
    """Listeners that come and go in turn all hear; the channel is left each time and joined again."""
    token = server.token()
    for status in ("ONLINE", "OFFLINE") * 5:
        async with Socket.open(server, token) as socket:
            operation_id = await socket.subscribe(EVENTS)
            await publish(server, token, a=status)
            assert (await socket.item(operation_id))["status"] == status
    await server.until(nothing_left)


async def test_a_mutation_is_told_though_its_client_is_gone(server):
    """A round whose publisher was cut off is recorded and reaches the subscribers, or neither (G-19)."""
    token = server.token()
    async with Socket.open(server, token) as watcher:
        operation_id = await watcher.subscribe(EVENTS)
        for status in ("ONLINE", "OFFLINE") * 10:
            mutation = f'mutation {{ publishDeviceStatus(input: {{deviceId: "a", status: {status}}}) {{ changed }} }}'
            async with Socket.open(server, token) as publisher:
                await publisher.subscribe(mutation, live=False)
                publisher.connection.transport.abort()
        await server.until(lambda services: services.statistics().delivery.graphql_sockets == 1)
        await publish(server, token, z="ONLINE")
        heads = await server.services.store.heads(["1"])
        events = [await watcher.item(operation_id) for _ in range(heads["1"].version)]
        assert events[-1]["deviceId"] == "z"
        statuses = [event["status"] for event in events[:-1]]
        assert all(one != other for one, other in itertools.pairwise(statuses))


async def test_a_client_that_upgrades_in_the_middle_of_an_answer_leaves_nothing_behind(server, send_path):
    """Who asks for a WebSocket while an event stream is under way on the same connection loses both, at once."""
    if send_path is SendPath.ASGI:
        pytest.skip("stock uvicorn upgrades in the middle of an answer, and no application can help it")
    head = {"Host": "x", "Authorization": f"Bearer {server.token()}", "Content-Type": "application/json"}
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = orjson.dumps({"query": EVENTS})
    stream = {**head, "Accept": "text/event-stream", "Content-Length": len(body)}
    writer.write(request("POST /graphql", stream) + body)
    await server.until(lambda services: services.statistics().sharing.live == 1)
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": 13}
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    writer.write(request("GET /graphql", {**head, **upgrade, "Sec-WebSocket-Key": key}))
    with contextlib.suppress(ConnectionError):
        assert b"101 Switching" not in await reader.read()
    writer.close()
    await server.until(nothing_left)


def request(line: str, headers: dict[str, object]) -> bytes:
    """The head of a request."""
    lines = [f"{line} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode()
