"""Stopping, and clients that do not let go."""

import asyncio
import json
import os
import socket as sockets

import pytest

from graphql_api.delivery import server as server_module
from graphql_api.delivery.open_streams import OpenStreams
from tests.wire.clients import EVENTS, PUBLISH, Socket, post
from tests.wire.conftest import SendPath, serve

pytestmark = pytest.mark.anyio


def stalled(server, request: bytes) -> sockets.socket:
    """A client that sends a request and never reads: its receive buffer is as small as can be."""
    client = sockets.socket()
    client.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 1)
    client.connect(("127.0.0.1", server.port))
    client.sendall(request)
    return client


def stream_request(token: str, accept: str = "text/event-stream") -> bytes:
    body = json.dumps({"query": EVENTS}).encode()
    head = f"POST /graphql HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def plain_handshake(token: str) -> bytes:
    head = f"GET /ws/device-status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nUpgrade: websocket\r\n"
    key = "dGhlIHNhbXBsZSBub25jZQ=="
    return f"{head}Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()


async def flood(server, rounds: int) -> None:
    """Publish more than the buffers between a server and a client that does not read can hold."""
    token = server.token()
    for number in range(rounds):
        status = "ONLINE" if number % 2 else "OFFLINE"
        inputs = [{"deviceId": f"{device:0120}", "status": status} for device in range(1_000)]
        await post(server, PUBLISH, token, inputs=inputs)


@pytest.mark.usefixtures("another_server_logs")
async def test_a_stalled_stream_is_let_go_when_its_token_expires(server):
    """An event stream whose client does not read is over soon after its token expires."""
    client = stalled(server, stream_request(server.token(ttl=4)))
    await server.until(lambda services: services.statistics().sharing.subscribers == 1)
    await flood(server, 12)
    await server.until(lambda services: services.statistics().sharing.subscribers == 0)
    await server.until(lambda services: services.statistics().delivery.event_streams == 0)
    client.close()


async def test_a_stalled_socket_is_let_go_when_its_token_expires(server):
    """A WebSocket whose client does not read is over soon after its token expires."""
    async with Socket.open(server, server.token(ttl=3), max_queue=1) as socket:
        await socket.subscribe(EVENTS)
        socket.connection.transport.pause_reading()
        await flood(server, 12)
        await server.until(lambda services: services.statistics().delivery.graphql_sockets == 0)
        socket.connection.transport.abort()


@pytest.mark.skipif(not hasattr(sockets, "TCP_USER_TIMEOUT"), reason="the system has no such option")
async def test_the_system_drops_a_client_whose_machine_has_vanished(server):
    """Each connection has the system drop it when nothing is acknowledged, soon after our own patience has ended."""
    async with Socket.open(server, server.token()):
        (connection,) = server.uvicorn.server_state.connections
        with sockets.socket(fileno=os.dup(connection.transport.get_extra_info("socket").fileno())) as duplicate:
            assert duplicate.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_USER_TIMEOUT) == 70_000


@pytest.fixture
def another_server_logs(request, send_path):
    """Another server logs an error of an answer that ends half-way: it gives an application no way to abort one."""
    if send_path is SendPath.ASGI:
        request.applymarker(pytest.mark.logs_errors)


@pytest.mark.usefixtures("another_server_logs")
async def test_a_client_that_takes_nothing_is_let_go(settings, secret, send_path, monkeypatch):
    """Sockets and streams that are not read are let go, down to our transport; a reader is not (G-15)."""
    # Where the flood takes longer than that, the system would be the one that lets them go.
    monkeypatch.setattr(server_module, "_AFTER_OURSELVES", 600.0)
    async with serve(settings.model_copy(update={"stalled_timeout": 0.4}), secret) as server:
        token = server.token()
        async with (
            Socket.open(server, token, max_queue=1, close_timeout=0.1) as not_reading,
            Socket.open(server, token, max_queue=None) as reading,
        ):
            for socket in (not_reading, reading):
                await socket.subscribe(EVENTS)
            not_reading.connection.transport.pause_reading()
            clients = [
                stalled(server, stream_request(token)),
                stalled(server, stream_request(token, "multipart/mixed;subscriptionSpec=1.0")),
                stalled(server, plain_handshake(token)),
            ]
            await server.until(lambda services: services.statistics().sharing.subscribers == 5)
            await flood(server, 12)
            await server.until(lambda services: services.statistics().sharing.subscribers == 1)
            assert server.services.delivery.patience.exhausted == 4
            for _ in range(12_000):
                await reading.receive("next")
            await reading.barrier()
            not_reading.connection.transport.abort()
            # ASGI gives an application no way to abort: another server may wait for its buffer to be taken.
            while send_path is SendPath.EXTENSION and len(server.uvicorn.server_state.connections) > 1:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.005)
        for client in clients:
            client.close()


async def test_a_slow_reader_gets_everything(settings, secret):
    """A client that pauses for less than the timeout reads on, and every change arrives once, in order (G-15)."""
    async with serve(settings.model_copy(update={"stalled_timeout": 30.0}), secret) as server:
        token = server.token()
        async with Socket.open(server, token, max_queue=1) as socket:
            operation_id = await socket.subscribe(EVENTS)
            socket.connection.transport.pause_reading()
            await flood(server, 12)
            socket.connection.transport.resume_reading()
            devices = [(await socket.item(operation_id))["deviceId"] for _ in range(12_000)]
        assert devices == [f"{device:0120}" for device in range(1_000)] * 12


async def test_a_server_stops_with_clients_that_do_not_let_go(settings, secret):
    """Sockets, a stream, a stalled stream and half a request: the server stops in time all the same (G-16)."""
    async with serve(settings, secret) as server:
        token = server.token()
        clients = [
            stalled(server, stream_request(token)),
            stalled(server, b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"),
        ]
        async with Socket.open(server, token) as socket:
            await socket.subscribe(EVENTS)
            await server.until(lambda services: services.statistics().sharing.subscribers == 2)
            server.stop()
            assert (await socket.closed())[0] == 1012
    for client in clients:
        client.close()


async def test_ending_streams_that_are_ending_already_is_no_error():
    """A stream whose time has just run out, and which is still unwinding, does not keep the others from ending."""
    streams = OpenStreams()
    unwinding = asyncio.Event()
    let_go = asyncio.Event()

    async def slow_to_end():
        async with streams.limited(0):
            try:
                await asyncio.Event().wait()
            finally:
                unwinding.set()
                await let_go.wait()

    async def open_ended():
        async with streams.limited(None):
            await asyncio.Event().wait()

    ending = [asyncio.create_task(slow_to_end()), asyncio.create_task(open_ended())]
    await unwinding.wait()
    streams.end_all()
    let_go.set()
    results = await asyncio.gather(*ending, return_exceptions=True)
    assert [type(result) for result in results] == [TimeoutError, TimeoutError]
