"""The head of a request: soon, and not too long."""

import asyncio
import contextlib

import pytest

from graphql_api.delivery import head
from graphql_api.delivery.headers import security_headers

pytestmark = pytest.mark.anyio

REQUEST = b"GET /health/live HTTP/1.1\r\nhost: a\r\n"


@contextlib.asynccontextmanager
async def connected(running):
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(reader):
    """Status and text of one answer of known length."""
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
    length = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length"))
    return int(lines[0].split()[1]), (await reader.readexactly(length)).decode()


def counted(running):
    return {name: count for name, count in running.services.statistics().refusals.items() if count}


@pytest.mark.parametrize("sent", [b"", b"GET", REQUEST, REQUEST + b"x: " + b"y" * 1_000])
async def test_a_head_that_does_not_come_ends_the_connection(server, monkeypatch, sent):
    """Whoever connects and does not complete a head in time is told, counted and disconnected."""
    monkeypatch.setattr(head, "HEAD_TIMEOUT", 0.05)
    async with connected(server) as (reader, writer):
        writer.write(sent)
        assert await answer(reader) == (408, "expected the head of a request within 0.05 seconds")
        assert await reader.read() == b""
    assert counted(server) == {"head_time": 1}


async def test_a_second_head_is_awaited_no_longer(server, monkeypatch):
    """On a connection that has been answered before, a head that begins and does not end is refused too."""
    async with connected(server) as (reader, writer):
        writer.write(REQUEST + b"\r\n")
        assert (await answer(reader))[0] == 200
        monkeypatch.setattr(head, "HEAD_TIMEOUT", 0.05)
        writer.write(REQUEST)
        assert (await answer(reader))[0] == 408
        assert await reader.read() == b""


@pytest.mark.parametrize(
    "flood",
    [b"GET /" + b"x" * 200_000, REQUEST + b"x: " + b"y" * 200_000, REQUEST + b"x: y\r\n" * 40_000],
    ids=["target", "one header", "many headers"],
)
async def test_a_head_that_is_too_long_is_not_kept(server, flood):
    """A head of over 64 KiB is refused while it is still coming, whatever of it is long."""
    async with connected(server) as (reader, writer):
        writer.write(flood)
        status, sentence = await answer(reader)
        assert (status, sentence) == (431, "expected the head of a request to have at most 65536 bytes, but more came")
        with contextlib.suppress(ConnectionError):  # what we sent besides is not read
            assert await reader.read() == b""
    assert counted(server) == {"head_size": 1}


@pytest.mark.parametrize(
    ("sent", "status"),
    [(REQUEST, 408), (REQUEST + b"x: " + b"y" * 70_000, 431), (b"no request\r\n\r\n", 400), (REQUEST + b"\r\n", 200)],
)
async def test_what_is_answered_below_the_application_has_its_headers_too(server, monkeypatch, sent, status):
    """An answer to what is no request says to browsers what every other answer says."""
    monkeypatch.setattr(head, "HEAD_TIMEOUT", 0.05)
    async with connected(server) as (reader, writer):
        writer.write(sent)
        line, *headers = (await reader.readuntil(b"\r\n\r\n")).rstrip().split(b"\r\n")
        assert line.split()[1] == str(status).encode()
        said = [tuple(header.split(b": ", 1)) for header in headers]
        assert set(security_headers(b"text/plain")) <= set(said)
        assert len({name.lower() for name, _ in said}) == len(said)


async def test_a_slow_body_is_not_taken_for_a_head(server, monkeypatch):
    """A body may take longer and be longer than a head, and so may what is answered."""
    monkeypatch.setattr(head, "HEAD_TIMEOUT", 0.05)
    body = b'{"query": "{ __typename }", "variables": {"x": "' + b"y" * 100_000 + b'"}}'
    request = b"POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    async with connected(server) as (reader, writer):
        writer.write(request % len(body) + body[:10])
        # Longer than a head may take: nothing else tells that no timer is running.
        await asyncio.sleep(0.1)
        writer.write(body[10:])
        assert await answer(reader) == (200, '{"data":{"__typename":"Query"}}')
    assert counted(server) == {}


@pytest.mark.parametrize(
    ("request_", "more", "is_told"),
    [
        (REQUEST + b"\r\n", b"\r\n", True),
        (REQUEST.replace(b"GET", b"POST") + b"content-length: 1000\r\n\r\n", b"x", False),
        (REQUEST + b"content-length: 1000\r\n\r\nxx", b"x", False),
    ],
    ids=["an empty line", "a body that nobody reads", "a body of a GET"],
)
async def test_a_byte_after_an_answer_keeps_no_connection(server, monkeypatch, request_, more, is_told):
    """What comes after an answer and is no head does not keep the connection open, be it the rest of a body."""
    async with connected(server) as (reader, writer):
        writer.write(request_)
        assert (await answer(reader))[0] in (200, 405)
        monkeypatch.setattr(head, "HEAD_TIMEOUT", 0.05)
        writer.write(more)
        if is_told:
            assert (await answer(reader))[0] == 408
        assert await reader.read() == b""
    assert counted(server) == {"head_time": 1}


async def test_the_rest_of_a_long_body_is_no_head(server):
    """A long body that comes after its answer is taken, and the next request is answered on the same connection."""
    start = b"POST /graphql HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a.b.c\r\ncontent-length: 200000\r\n\r\n"
    async with connected(server) as (reader, writer):
        writer.write(start)
        assert (await answer(reader))[0] == 401
        for _ in range(20):
            writer.write(b"x" * 10_000)
            await writer.drain()
        writer.write(REQUEST + b"\r\n")
        assert (await answer(reader))[0] == 200
    assert counted(server) == {}
