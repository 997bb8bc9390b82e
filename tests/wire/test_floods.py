"""A client that sends as much as it can keeps nobody else waiting."""

import pytest
from websockets.frames import Frame, Opcode

from graphql_api.delivery.portions import PORTION
from tests.wire.clients import Socket
from tests.wire.conftest import SendPath

pytestmark = pytest.mark.anyio

# As much as comes at once: a loop reads up to 256 KiB.
FLOOD = 9_000


def frames(text: str, count: int = 1) -> bytes:
    return Frame(Opcode.TEXT, text.encode()).serialize(mask=True) * count


@pytest.fixture
async def flooding(server, send_path):
    """A socket, and the server's end of it."""
    if send_path is SendPath.ASGI:
        pytest.skip("stock uvicorn takes what it gets")
    async with Socket.open(server, server.token()) as socket:
        (protocol,) = server.uvicorn.server_state.connections
        yield socket, protocol


async def test_a_flood_of_messages_is_taken_in_turns(flooding):
    """What comes at once is taken for 2 ms at a time, nothing is read meanwhile, and all of it is taken in order."""
    socket, protocol = flooding
    protocol.data_received(frames('{"type":"pong"}', FLOOD) + frames('{"type":"ping","payload":{"last":true}}'))
    assert not protocol.transport.is_reading()
    answer = await socket.receive("pong")
    assert answer["payload"] == {"last": True}
    await socket.barrier()
    assert protocol.transport.is_reading()


async def test_a_flood_that_is_answered_waits_for_its_reader(flooding):
    """Nine thousand pings at once get nine thousand pongs, in order."""
    socket, protocol = flooding
    protocol.data_received(b"".join(frames(f'{{"type":"ping","payload":{{"n":{n}}}}}') for n in range(FLOOD)))
    assert not protocol.transport.is_reading()
    assert [(await socket.receive("pong"))["payload"]["n"] for _ in range(FLOOD)] == list(range(FLOOD))
    await socket.barrier()


async def test_a_message_of_many_portions_comes_as_one(flooding):
    """A message that is far longer than a portion is answered as any other."""
    socket, protocol = flooding
    text = "x" * 100 * PORTION
    protocol.data_received(frames(f'{{"type":"ping","payload":{{"text":"{text}"}}}}'))
    assert (await socket.receive("pong"))["payload"] == {"text": text}


async def test_what_is_left_of_a_flood_is_dropped_with_its_connection(flooding, server, nothing_logged):
    """A client that goes in the middle of its flood is gone, and the rest is not taken."""
    socket, protocol = flooding
    protocol.data_received(frames('{"type":"pong"}', FLOOD))
    protocol.transport.abort()
    await server.until(lambda services: services.statistics().admission.connections == 0)
    await socket.connection.wait_closed()
