"""What this service relies on in uvicorn, whose protocol classes are no public interface."""

import asyncio
import contextlib

import httpx
import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from graphql_api.delivery.extension import transport_of, wire_of
from graphql_api.delivery.server import Server, server_config

pytestmark = pytest.mark.anyio


class Application:
    """Notes the scopes that it is called with, and refuses everything."""

    def __init__(self):
        self.scopes = []

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            for answer in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{answer}.complete"})
            return
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body"})


@pytest.fixture
async def served():
    application = Application()
    config = server_config(
        application, host="127.0.0.1", port=0, message_limit=1_000, shutdown_timeout=1, log_config=None
    )
    listening = asyncio.get_running_loop().create_future()
    server = Server(config, on_listening=listening.set_result)
    server.capture_signals = contextlib.nullcontext
    task = asyncio.create_task(server.serve())
    yield application, await listening
    server.should_exit = True
    await task


def test_uvicorn_is_the_version_that_was_looked_at():
    """A new version of uvicorn is to be looked at before it is used: its protocol classes are subclassed."""
    assert uvicorn.__version__ == "0.54.0"


async def test_http_and_websockets_offer_the_extension(served):
    """The scope of HTTP has the transport in our extension, that of a WebSocket the wire."""
    application, port = served
    async with httpx.AsyncClient(verify=False) as client:
        assert (await client.get(f"http://127.0.0.1:{port}/")).status_code == 204
    with pytest.raises(InvalidStatus):
        await connect(f"ws://127.0.0.1:{port}/")
    assert [scope["type"] for scope in application.scopes] == ["http", "websocket"]
    http, websocket = application.scopes
    assert transport_of(http).get_write_buffer_size() == 0
    assert wire_of(http) is None
    assert wire_of(websocket).transport.get_write_buffer_size() == 0


def test_without_the_extension_nothing_is_known():
    """On another server there is neither a wire nor a transport."""
    scope = {"type": "websocket"}
    assert (wire_of(scope), transport_of(scope)) == (None, None)


async def test_a_handshake_that_is_no_good_is_refused(served):
    """An upgrade without a key is answered by the server, and the application is not called."""
    application, port = served
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 400")
    writer.close()
    await writer.wait_closed()
    assert application.scopes == []
