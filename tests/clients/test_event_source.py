"""The reader of event streams does what a browser's does (HTML standard, 9.2.6)."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clients.python.event_source import Event, EventStream, watch
from tests.wire.clients import http_client

pytestmark = pytest.mark.anyio

# Of the standard's own examples, and of what they leave out: what comes, and what is to be made of it.
CASES = {
    "lines of data": (b"data: YHOO\ndata: +2\ndata: 10\n\n", [Event("message", "YHOO\n+2\n10")], ""),
    "comments and ids": (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
        [Event("message", "first event"), Event("message", "second event"), Event("message", " third event")],
        "",
    ),
    "empty data": (b"data\n\ndata\ndata\n\ndata:\n", [Event("message", ""), Event("message", "\n")], ""),
    "an optional space": (b"data:test\n\ndata: test\n\n", [Event("message", "test"), Event("message", "test")], ""),
    "types": (b"event: next\ndata: 1\n\ndata: 2\n\n", [Event("next", "1"), Event("message", "2")], ""),
    "an id without data": (b"id: 7\n\n", [], "7"),
    "an id that is not whole": (b"id: 7\n\ndata: 1\nid: 8\n", [], "7"),
    "an id with NUL": (b"id: 7\n\nid: 8\x00\n\n", [], "7"),
    "any end of a line": (b"\xef\xbb\xbfdata: 1\r\ndata: 2\rdata: 3\n\r\n", [Event("message", "1\n2\n3")], ""),
    "no ends of lines": ("data: 1\u2028\x85\x0b2\n\n".encode(), [Event("message", "1\u2028\x85\x0b2")], ""),
    "other fields": (b"retry: soon\nretries: 1\ndata : 2\n\n", [], ""),
}


@pytest.mark.parametrize(("text", "events", "last_event_id"), CASES.values(), ids=CASES)
@given(cuts=st.sets(st.integers(1, 100)))
async def test_a_stream_means_the_same_in_any_pieces(text, events, last_event_id, cuts):
    """However the bytes are cut, the same events come, and the same id is the last one."""
    stream = EventStream()
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[begin:end] for begin, end in itertools.pairwise(places)]
    assert [event for piece in pieces for event in stream.feed(piece)] == events
    assert stream.last_event_id == last_event_id
    assert stream.retry == 1.0


@contextlib.asynccontextmanager
async def answering(*bodies: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that cuts each body off; its address, and the requests that came."""
    requests: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        await reader.readuntil(b"}")
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        body = bodies[len(requests) - 1]
        writer.write(head + b"%x\r\n%b\r\n" % (len(body), body))
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}", requests


async def test_it_comes_back_with_the_last_id_that_was_whole():
    """A stream that is cut off is asked for again, after the time that it told, from the last whole block on."""
    first = b'retry: 10\n\nevent: next\ndata: {"data":\ndata: 1}\nid: one\n\nevent: next\ndata: {"data": 2}\nid: two\n'
    second = b'event: next\ndata: {"data": 2}\nid: two\n\n'
    taken, tokens = [], iter(["a", "b", "c"])

    async def current_token() -> str:
        return next(tokens)

    async with answering(first, second, b"event: complete\ndata:\n\n") as (address, requests), http_client() as client:
        await watch(client, address, current_token, "query", taken.append)
    assert taken == [{"data": 1}, {"data": 2}]
    headers = [dict(line.split(b": ", 1) for line in request.lower().split(b"\r\n")[1:-2]) for request in requests]
    assert [found.get(b"last-event-id") for found in headers] == [None, b"one", b"two"]
    assert [found[b"authorization"] for found in headers] == [b"bearer a", b"bearer b", b"bearer c"]
