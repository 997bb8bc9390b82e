"""Bodies that come slowly take no more memory than there is for them, and nobody else's room."""

import asyncio
import contextlib

import httpx
import pytest

from tests.wire.clients import http_client, post

pytestmark = pytest.mark.anyio

MEBIBYTE = 1024 * 1024
COMING = 17
"""As many of almost 2 MiB as have no room in 32 MiB."""


@contextlib.asynccontextmanager
async def coming(server):
    """A body of almost 2 MiB whose end does not come, of nobody in particular."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = "POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n"
    writer.write(head.format(2 * MEBIBYTE).encode() + b" " * (2 * MEBIBYTE - 1))
    try:
        yield reader
    finally:
        writer.close()


async def ask(server, size: int, **headers: str) -> httpx.Response:
    """Ask for the least, in a body of so many bytes."""
    content = b'{"query": "{ __typename }"}'.ljust(size)
    async with http_client() as client:
        return await client.post(server.http, content=content, headers={"content-type": "application/json", **headers})


async def test_bodies_that_do_not_end_take_no_more_than_there_is(server):
    """Of seventeen long bodies without a token one is told to come back; short ones and bearers are served on."""
    async with contextlib.AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(coming(server)) for _ in range(COMING)]
        told = [asyncio.create_task(reader.readuntil(b"\r\n\r\n")) for reader in readers]
        (first,), others = await asyncio.wait(told, return_when=asyncio.FIRST_COMPLETED)
        answer = first.result().decode().lower()
        assert answer.startswith("http/1.1 503")
        assert "retry-after: 5" in answer
        assert server.services.statistics().refusals["bodies"] == 1
        assert (await ask(server, 16_384)).json() == {"data": {"__typename": "Query"}}
        bearer = {"authorization": f"Bearer {server.token()}"}
        assert (await ask(server, 2 * MEBIBYTE, **bearer)).json() == {"data": {"__typename": "Query"}}
        for waiting in others:
            waiting.cancel()
    await asyncio.wait(others)
    # Those who have gone have made room.
    while (answer := await ask(server, 2 * MEBIBYTE)).status_code == 503:
        pass
    assert answer.json() == {"data": {"__typename": "Query"}}


async def test_a_refused_token_costs_no_body(server):
    """Who sends a token that is refused is told before the body has come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /graphql HTTP/1.1\r\nhost: a\r\nauthorization: Bearer a.b.c\r\ncontent-length: 1000\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 401")
    writer.close()
    await writer.wait_closed()
    assert (await post(server, "{ viewer { subject } }", server.token()))["viewer"]["subject"] == "tester"
