"""Handshakes and frames that no client's library would send, written byte by byte."""

import asyncio
import contextlib
import socket as sockets

import pytest

from tests.wire.conftest import SendPath

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_logged")]

HANDSHAKE = (
    b"Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n"
)
GET = b"GET /graphql HTTP/1.1\r\n"


@pytest.fixture
async def connect(standing_server):
    """Opens a raw connection: a reader and a writer."""
    writers = []

    async def open_connection():
        reader, writer = await asyncio.open_connection("127.0.0.1", standing_server.port)
        writers.append(writer)
        return reader, writer

    yield open_connection
    for writer in writers:
        writer.transport.abort()


def masked(first_byte: int, payload: bytes = b"") -> bytes:
    """A client's frame of at most 125 bytes, with a mask that changes nothing."""
    return bytes([first_byte, 0x80 | len(payload), 0, 0, 0, 0]) + payload


REFUSED = {
    "missing key": (GET + HANDSHAKE.replace(b"Sec-WebSocket-Key", b"X-Key"), 400),
    "bad key": (GET + HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"x"), 400),
    "other version": (GET + HANDSHAKE.replace(b"13", b"8"), 400),
    "bad subprotocol": (GET + HANDSHAKE.replace(b"graphql-transport-ws", b"\xff, graphql-transport-ws"), 400),
    "method": (GET.replace(b"GET", b"POST") + HANDSHAKE, 405),
    "bytes in the path": (GET.replace(b" HTTP", b"?\xff HTTP") + HANDSHAKE, 400),
    "control character": (GET + HANDSHAKE + b"X: a\x01b\r\n", 400),
    "folded header": (GET + HANDSHAKE + b"X: a\r\n b\r\n", 400),
    "another path": (GET.replace(b"graphql", b"nothing") + HANDSHAKE, 403),
}
# Stock uvicorn leaves these without an answer.
REFUSED_BY_OURS = {
    "many headers": (GET + HANDSHAKE + b"X: y\r\n" * 200, 431),
    "long header": (GET + HANDSHAKE + b"Cookie: " + b"x" * 9_000 + b"\r\n", 431),
    "long path": (GET.replace(b" HTTP", b"?" + b"x" * 9_000 + b" HTTP") + HANDSHAKE, 414),
    "body": (GET + HANDSHAKE + b"Content-Length: 3\r\n", 400),
}


@pytest.mark.parametrize("name", [*REFUSED, *REFUSED_BY_OURS])
async def test_a_bad_handshake_is_answered_and_over(standing_server, connect, send_path, name):
    """A handshake that is no good gets its status and the end of the connection, whatever more is sent behind it."""
    if name in REFUSED_BY_OURS and send_path is SendPath.ASGI:
        pytest.skip("another server's handshake is its own business")
    handshake, status = {**REFUSED, **REFUSED_BY_OURS}[name]
    reader, writer = await connect()
    writer.write(handshake + b"\r\n")
    line = await reader.readline()
    assert line.startswith(f"HTTP/1.1 {status} ".encode())
    writer.write(masked(0x81, b"{}") * 100)
    with contextlib.suppress(ConnectionResetError):
        await reader.read()
    await standing_server.until(lambda services: not standing_server.uvicorn.server_state.connections)


async def opened(connect):
    reader, writer = await connect()
    writer.write(GET + HANDSHAKE + b"\r\n")
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 ")
    return reader, writer


async def close_code(reader) -> int:
    """The code of the close frame that must come next."""
    head = await reader.readexactly(2)
    assert head[0] == 0x88
    return int.from_bytes((await reader.readexactly(head[1]))[:2], "big")


BROKEN = {
    "reserved bit": (masked(0xC1, b"{}"), 1002),
    "reserved opcode": (masked(0x83, b"{}"), 1002),
    "reserved control opcode": (masked(0x8B), 1002),
    "not masked": (b"\x81\x02{}", 1002),
    "continuation of nothing": (masked(0x80, b"{}"), 1002),
    "message within a message": (masked(0x01, b"{") + masked(0x81, b"{}"), 1002),
    "fragmented ping": (masked(0x09), 1002),
    "long ping": (b"\x89\xfe\x00\x7e\0\0\0\0" + b"x" * 126, 1002),
    "close of one byte": (masked(0x88, b"\x03"), 1002),
    "close with a code that may not be sent": (masked(0x88, b"\x03\xee"), 1002),
    "close with a code of nobody": (masked(0x88, b"\x00\x00"), 1002),
    "close with a reason that is no text": (masked(0x88, b"\x03\xe8\xff"), 1007),
    "length over 63 bits": (b"\x81\xff" + b"\xff" * 8 + b"\0" * 4, 1009),
    "a length beyond the limit": (b"\x81\xff" + (2**40).to_bytes(8, "big") + b"\0" * 4, 1009),
    "binary": (masked(0x82, b"{}"), 4400),
    "empty text": (masked(0x81), 4400),
    "a message in pieces": (masked(0x01, b"{") + masked(0x00) + masked(0x80, b"}"), 4400),
    "binary in pieces": (masked(0x02, b"{") + masked(0x80, b"}"), 4400),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_frames_close_with_their_code(connect, name):
    """What breaks RFC 6455 closes with 1002, 1007 or 1009, and its last words are a close frame (G-18)."""
    data, code = BROKEN[name]
    reader, writer = await opened(connect)
    writer.write(data)
    assert await close_code(reader) == code


async def test_text_that_is_no_utf8_closes_with_1007(connect, send_path, caplog):
    """A text message that is not UTF-8, in one frame or cut within a character, closes with 1007."""
    for data in (masked(0x81, b"\xff"), masked(0x01, b"\xc3") + masked(0x80, b"\x28"), masked(0x81, b"\xed\xa0\x80")):
        reader, writer = await opened(connect)
        writer.write(data)
        assert await close_code(reader) == 1007
    if send_path is SendPath.ASGI:
        # Stock uvicorn logs this as an error of its own.
        caplog.clear()


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe9going", b"\x0f\xa0", b"\x13\x87" + b"x" * 123])
async def test_a_clients_close_is_answered_with_its_own(standing_server, connect, payload):
    """A client that closes gets its close frame back, and the connection is over."""
    reader, writer = await opened(connect)
    writer.write(masked(0x88, payload) + masked(0x81, b"never read"))
    assert await reader.read() == bytes([0x88, len(payload)]) + payload
    await standing_server.until(lambda services: services.statistics().delivery.graphql_sockets == 0)


async def test_pieces_without_end_take_no_memory(standing_server, connect, send_path):
    """However many empty pieces a message comes in, what is kept of it is what it holds."""
    reader, writer = await opened(connect)
    writer.write(masked(0x01, b"{") + masked(0x00) * 50_000 + masked(0x00, b" ") * 10_000 + masked(0x89, b"mark"))
    assert await reader.readexactly(6) == b"\x8a\x04mark"
    if send_path is SendPath.EXTENSION:
        (protocol,) = standing_server.uvicorn.server_state.connections
        assert (len(protocol.frames), len(protocol._pieces)) == (1, 10_000)
    writer.write(masked(0x80, b"}"))
    assert await close_code(reader) == 4400
    writer.get_extra_info("socket").shutdown(sockets.SHUT_WR)
