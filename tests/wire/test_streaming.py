"""Subscriptions over Server-Sent Events and Apollo's multipart protocol."""

import asyncio
import json

import pytest

from tests.wire.clients import DEVICES, EVENTS, Stream, http_client, publish
from tests.wire.conftest import serve

pytestmark = pytest.mark.anyio

SSE = ("text/event-stream", "\n\n")
MULTIPART = ('multipart/mixed;boundary="graphql";subscriptionSpec=1.0,application/json', "\r\n--graphql")


def fields(block):
    """An event's fields, comments left out."""
    return dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":") and ": " in line)


def part(block):
    """The JSON of a part of a multipart body."""
    head, _, body = block.partition("\r\n\r\n")
    assert head.strip() == "content-type: application/json"
    return json.loads(body)


async def test_sse_carries_events_with_the_cursor_as_id(server):
    """Over SSE a live checkpoint comes first, then each change as next, its id the cursor."""
    token = server.token()
    async with Stream.open(server, EVENTS, token, *SSE) as stream:
        assert stream.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        checkpoint = await stream.block()
        assert list(fields(checkpoint)) == ["id"]
        published = await publish(server, token, a="ONLINE")
        event = fields(await stream.block())
        assert event["event"] == "next"
        assert event["id"] == published["cursor"]
        payload = json.loads(event["data"])
        assert payload["data"]["deviceStatus"]["deviceId"] == "a"
        assert payload["extensions"]["cursor"] == published["cursor"]


async def test_multipart_carries_events_as_payloads(server):
    """Over multipart each change is a part with a payload, complete before the next one comes."""
    token = server.token()
    async with Stream.open(server, EVENTS, token, *MULTIPART) as stream:
        assert stream.response.headers["content-type"].startswith("multipart/mixed;boundary=")
        assert await stream.block() == ""
        await server.until(lambda services: services.statistics().sharing.subscribers == 1)
        await publish(server, token, a="ONLINE")
        payloads = []
        while not payloads:
            payloads = [payload for payload in [part(await stream.block())] if payload]
        (message,) = payloads
        assert message["payload"]["data"]["deviceStatus"]["deviceId"] == "a"
        assert message["payload"]["extensions"]["cursor"]


async def test_state_over_sse(server):
    """The list of devices works over SSE as over a WebSocket."""
    token = server.token()
    await publish(server, token, a="ONLINE")
    async with Stream.open(server, DEVICES, token, *SSE) as stream:
        update = json.loads(fields(await stream.block())["data"])["data"]["devices"]
        assert (update["reset"], [device["deviceId"] for device in update["changed"]]) == (True, ["a"])


@pytest.mark.parametrize(("accept", "separator"), [SSE, MULTIPART])
async def test_a_refused_subscription_is_told_and_completed(server, accept, separator):
    """A subscription that may not be is answered in its own protocol: the error, then the end."""
    async with Stream.open(server, EVENTS, server.token("1"), accept, separator, schoolId="2") as stream:
        blocks = []
        while (block := await stream.block()) is not None:
            blocks.append(block)
    text = "".join(blocks) + stream.rest
    assert "FORBIDDEN" in text
    assert text.endswith("--\r\n") if separator == MULTIPART[1] else "event: complete" in text


@pytest.mark.parametrize("query", ["subscription {", "subscription { nothing }", "query A {a} query B {b}"])
async def test_what_is_not_executed_is_told_in_the_stream(server, query):
    """A client that accepts only an event stream gets errors before execution as next, then complete."""
    async with Stream.open(server, query, server.token(), *SSE) as stream:
        assert stream.response.status_code == 200
        event = fields(await stream.block())
        assert event["event"] == "next"
        assert json.loads(event["data"])["errors"]
        assert fields(await stream.block()) == {"event": "complete"}
        assert await stream.block() is None


async def test_a_refused_token_is_401_before_any_stream(server):
    """A bad token gets 401 in JSON, not a stream."""
    async with http_client() as client:
        response = await client.post(
            server.http, json={"query": EVENTS}, headers={"accept": SSE[0], "authorization": "Bearer x"}
        )
    assert response.status_code == 401
    assert response.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize(("accept", "separator"), [SSE, MULTIPART])
async def test_expiry_ends_the_body_without_completing_it(server, accept, separator):
    """When the token expires the body ends without its closing mark, so that clients come back (G-16)."""
    async with Stream.open(server, EVENTS, server.token(ttl=1), accept, separator) as stream:
        blocks = []
        while (block := await stream.block()) is not None:
            blocks.append(block)
    text = separator.join(blocks) + stream.rest
    assert "complete" not in text
    assert not text.endswith("--\r\n")


@pytest.mark.parametrize(("accept", "separator"), [SSE, MULTIPART])
async def test_nothing_is_streamed_after_expiry(server, accept, separator):
    """A change published after the token's expiry is not streamed, even before the timer fires."""
    async with Stream.open(server, EVENTS, server.token(ttl=60), accept, separator) as stream:
        await server.until(lambda services: services.statistics().sharing.subscribers == 1)
        server.clock.advance(61)
        await publish(server, server.token(), a="ONLINE")
        blocks = []
        while (block := await stream.block()) is not None:
            blocks.append(block)
    assert "deviceStatus" not in separator.join(blocks) + stream.rest


async def test_signs_of_life_and_checkpoints(settings, secret):
    """A quiet stream gets comments, and an id alone where changes passed that it does not want."""
    async with serve(settings.model_copy(update={"keep_alive": 0.05}), secret) as server:
        token = server.token()
        async with Stream.open(server, EVENTS, token, *SSE, deviceIds=["z"]) as stream:
            first = fields(await stream.block())
            while await stream.block() != ":":
                pass
            published = await publish(server, token, a="ONLINE")
            while not (found := fields(await stream.block())):
                pass
            assert found == {"id": published["cursor"]}
            assert first["id"] != published["cursor"]


async def id_alone(stream) -> str:
    """The id of the next block, which must be nothing but that; comments are passed over."""
    while not (found := fields(await stream.block())):
        pass
    assert list(found) == ["id"]
    return found["id"]


async def test_who_was_told_the_first_change_of_many_comes_to_know_how_far_it_has_come(settings, secret):
    """Where the last changes are none that a client wants, it gets an id for them: resumed, and in a round as well."""
    async with serve(settings.model_copy(update={"keep_alive": 0.05}), secret) as server:
        token = server.token()
        start = (await publish(server, token, a="ONLINE", b="ONLINE"))["cursor"]
        await publish(server, token, a="OFFLINE")
        last = (await publish(server, token, b="OFFLINE"))["cursor"]
        async with Stream.open(server, EVENTS, token, *SSE, last_event_id=start, deviceIds=["a"]) as stream:
            assert "OFFLINE" in fields(await stream.block())["data"]
            assert await id_alone(stream) == last
            last = (await publish(server, token, a="ONLINE", b="ONLINE"))["cursor"]
            while not (found := fields(await stream.block())):
                pass
            assert "ONLINE" in found["data"]
            assert await id_alone(stream) == last


@pytest.mark.parametrize(("accept", "separator"), [SSE, MULTIPART])
async def test_a_client_that_goes_leaves_nothing_behind(server, accept, separator):
    """When the client drops the connection, its feed, listener and channel are gone."""
    async with Stream.open(server, EVENTS, server.token(), accept, separator):
        await server.until(lambda services: services.statistics().sharing.subscribers == 1)
    await server.until(
        lambda services: (
            services.statistics().feeds.feeds == 0
            and services.statistics().news.channels == 0
            and services.statistics().delivery.event_streams == services.statistics().delivery.multiparts == 0
        )
    )


async def test_a_stopping_server_ends_its_streams(settings, secret):
    """A server that stops ends open streams at once, without completing them (G-16)."""
    async with serve(settings, secret) as server, asyncio.TaskGroup() as tasks:
        opened = asyncio.Event()

        async def read() -> str:
            text = ""
            async with Stream.open(server, EVENTS, server.token(), *SSE) as stream:
                while (block := await stream.block()) is not None:
                    text += block
                    opened.set()
                return text + stream.rest

        reading = tasks.create_task(read())
        await opened.wait()
        server.stop()
        assert "complete" not in await reading
