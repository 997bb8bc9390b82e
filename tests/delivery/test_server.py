"""What this service relies on in uvicorn, whose protocol classes are no public interface."""

import asyncio
import contextlib
import errno

import httpx
import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.protocol import State

from graphql_api.delivery.extension import transport_of, wire_of
from graphql_api.delivery.server import Server, server_config
from graphql_api.delivery.session import END_TIMEOUT

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


class Transport(asyncio.Transport):
    """Takes note of what it is told, and has a client that takes nothing."""

    def __init__(self):
        super().__init__()
        self.written = b""
        self.reading = True
        self.aborted = asyncio.Event()
        self.protocol = None

    def is_closing(self):
        return self.aborted.is_set()

    def write(self, data):
        first, self.written = not self.written, self.written + data
        if first and self.protocol:
            self.protocol.pause_writing()

    def set_write_buffer_limits(self, high=None, low=None):
        """No bytes may wait unheard of: none do yet."""

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def close(self):
        """Waits for the client to take what was written."""

    def abort(self):
        self.aborted.set()


class Echo:
    """A client's session that answers each message."""

    def __init__(self, transport):
        self.transport = transport
        self.writable = True

    def on_message(self, message):
        self.transport.write(message.encode())

    def on_writable(self, *, writable):
        self.writable = writable

    def on_gone(self):
        """Nothing is held."""

    def on_restart(self):
        raise AssertionError("it is closed already")


@pytest.fixture
async def handed_over():
    """A WebSocket whose client has sent a message before it was handed over, and takes no answer."""
    config = server_config(Application(), host="127.0.0.1", port=0, message_limit=1_000, shutdown_timeout=1)
    config.load()
    transport = Transport()
    protocol = config.ws_protocol_class(config, uvicorn.server.ServerState(), {})
    protocol.connection_made(transport)
    protocol.queue.put_nowait({"type": "websocket.receive", "text": "early"})
    protocol.read_paused, transport.reading = True, False
    transport.protocol = protocol
    echo = Echo(transport)
    protocol.hand_over(echo)
    return protocol, transport, echo


async def test_who_does_not_take_the_answer_to_an_early_message_is_not_listened_to(handed_over):
    """A message that came before the wire was handed over is answered; while the answer is not taken, none is read."""
    protocol, transport, echo = handed_over
    assert transport.written == b"early"
    assert (transport.reading, echo.writable) == (False, False)
    protocol.resume_writing()
    assert (transport.reading, echo.writable) == (True, True)


async def test_a_server_that_ends_does_not_wait_for_a_peer_that_was_closed_and_does_not_read(handed_over):
    """A connection that is being closed is aborted in time though the server is told to end meanwhile."""
    protocol, transport, _ = handed_over
    protocol.conn.state = State.OPEN
    protocol.close(1013, "slow")
    protocol.shutdown()
    async with asyncio.timeout(END_TIMEOUT + 1):
        await transport.aborted.wait()


async def test_a_peer_that_has_gone_with_broken_frames_is_no_error(handed_over, monkeypatch):
    """A reset that comes with broken frames, and is noticed after the close frame, raises nothing and ends in time."""
    protocol, transport, _ = handed_over
    protocol.conn.state = State.OPEN

    def not_connected():
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr(transport, "can_write_eof", lambda: True)
    monkeypatch.setattr(transport, "write_eof", not_connected)
    protocol.resume_writing()
    # As the library does when it has read them.
    protocol.conn.send_close(1002)
    protocol.handle_parser_exception()
    assert transport.written.startswith(b"early\x88")
    async with asyncio.timeout(END_TIMEOUT + 1):
        await transport.aborted.wait()
