"""Each limit over the wire: told in a sentence, counted, and nobody else disturbed."""

import asyncio
import contextlib
import dataclasses
import json

import pytest
from websockets.asyncio.client import connect

from tests.wire.clients import DEVICES, EVENTS, PUBLISH, SUMMARY, GraphQLError, Socket, Stream, http_client, post
from tests.wire.conftest import SendPath, serve

pytestmark = pytest.mark.anyio

VIEWER = "{ viewer { subject } }"
GRAPHQL_RESPONSE = "application/graphql-response+json"


@dataclasses.dataclass
class Told:
    """What the client was told: a close code or a status (0 for an error of one operation), a code, and a sentence."""

    number: int
    code: str | None
    sentence: str
    retry_after: float | None = None


async def of_socket(socket):
    """What the close frame says that must come next."""
    code, reason = await socket.closed()
    return Told(code, None, reason)


async def of_operation(socket, query, **variables):
    """What the error of an operation says; the socket goes on."""
    operation_id = await socket.subscribe(query, live=False, **variables)
    message = await socket.receive()
    assert message["id"] == operation_id, message
    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    if message["type"] == "next":
        assert (await socket.receive("complete"))["id"] == operation_id
    await socket.barrier()
    extensions = errors[0]["extensions"]
    return Told(0, extensions["code"], errors[0]["message"], extensions.get("retryAfter"))


async def of_post(server, query=VIEWER, *, token=True, accept="application/json", **variables):
    """What the answer over HTTP says."""
    headers = {"accept": accept} | ({"authorization": f"Bearer {server.token()}"} if token else {})
    async with http_client() as client:
        body = {"query": query, "variables": variables}
        async with client.stream("POST", server.http, json=body, headers=headers) as response:
            if response.headers["content-type"].startswith("text/event-stream"):
                return None
            await response.aread()
    if "errors" not in response.json():
        return None
    (error,) = response.json()["errors"]
    if response.status_code in (429, 503):
        assert int(response.headers["retry-after"]) >= 1
    extensions = error["extensions"]
    return Told(response.status_code, extensions["code"], error["message"], extensions.get("retryAfter"))


def one_report(device="a"):
    return {"inputs": [{"deviceId": device, "status": "ONLINE"}]}


@contextlib.asynccontextmanager
async def graphql_socket(server):
    async with Socket.open(server, server.token()) as socket:
        yield socket


@contextlib.asynccontextmanager
async def plain_socket(server):
    headers = {"authorization": f"Bearer {server.token()}"}
    async with connect(server.plain, additional_headers=headers) as connection:
        assert json.loads(await connection.recv())["type"] == "connected"
        yield connection


@contextlib.asynccontextmanager
async def event_stream(server):
    async with Stream.open(server, EVENTS, server.token(), "text/event-stream", "\n\n") as stream:
        assert stream.response.status_code == 200
        yield stream


@contextlib.asynccontextmanager
async def multipart(server):
    async with Stream.open(server, EVENTS, server.token(), "multipart/mixed", "\r\n--graphql") as stream:
        assert stream.response.status_code == 200
        yield stream


async def another_graphql_socket(server):
    async with Socket.open(server) as socket:
        payload = {"authorization": f"Bearer {server.token()}"}
        with contextlib.suppress(Exception):  # it may be closed already
            await socket.send(type="connection_init", payload=payload)
        return await of_socket(socket)


async def another_plain_socket(server):
    async with connect(server.plain, additional_headers={"authorization": f"Bearer {server.token()}"}) as connection:
        last_words = json.loads(await connection.recv())
        told = await of_socket(Socket(connection))
        assert last_words == {"type": "error", "message": told.sentence}
        return told


async def another_event_stream(server):
    return await of_post(server, EVENTS, accept="text/event-stream")


async def another_multipart(server):
    return await of_post(server, EVENTS, accept="multipart/mixed")


HOLDERS = [graphql_socket, plain_socket, event_stream, multipart]
NEWCOMERS = [
    (another_graphql_socket, 1013, 1013),
    (another_plain_socket, 1013, 1013),
    (another_event_stream, 503, 429),
    (another_multipart, 503, 429),
]


@pytest.mark.parametrize("hold", HOLDERS, ids=lambda each: each.__name__)
@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        ("max_connections", "the service has its 2 connections: come back later"),
        ("max_connections_per_address", "this address has its 2 connections: close one, or come back later"),
        ("max_connections_per_subject", "this token's subject has its 2 connections: close one, or come back later"),
    ],
)
async def test_connections_of_every_kind_count_and_are_refused_when_there_are_too_many(
    settings, secret, hold, limit, sentence
):
    """With two of any kind connected a third of every kind is refused and counted, and has room when one has gone."""
    async with serve(settings.model_copy(update={limit: 2}), secret) as server:
        async with hold(server), contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(hold(server))
            for another, status_of_process, status in NEWCOMERS:
                told = await another(server)
                number = status_of_process if limit == "max_connections" else status
                code = None if number == 1013 else "LIMIT_EXCEEDED"
                assert told == Told(number, code, sentence), another.__name__
            counted = server.services.statistics().refusals[limit.removeprefix("max_")]
            assert counted == len(NEWCOMERS)
            await server.until(lambda services: services.statistics().admission.connections == 2)
            await stack.aclose()
            await server.until(lambda services: services.statistics().admission.connections == 1)
            async with graphql_socket(server) as socket:
                await socket.barrier()
        await server.until(lambda services: not any(dataclasses.astuple(services.statistics().admission)))


async def one_subscription_too_many(server):
    async with graphql_socket(server) as socket:
        first = await socket.subscribe(EVENTS)
        await socket.subscribe(EVENTS)
        told = await of_operation(socket, EVENTS)
        # Queries are none, and one that is over makes room.
        operation_id = await socket.subscribe(VIEWER, live=False)
        assert (await socket.receive("next"))["id"] == operation_id
        await socket.receive("complete")
        await socket.send(id=first, type="complete")
        await socket.subscribe(EVENTS)
        return told


async def one_operation_too_many(server):
    async with graphql_socket(server) as socket:
        await socket.subscribe(EVENTS)
        await of_query(socket)
        await of_query(socket)
        told = await of_operation(socket, VIEWER)
        async with graphql_socket(server) as other:
            await of_query(other)
        return told


async def of_query(socket):
    operation_id = await socket.subscribe(VIEWER, live=False)
    assert (await socket.receive("next"))["payload"]["data"]
    assert (await socket.receive("complete"))["id"] == operation_id


async def one_operation_too_many_over_http(server, accept="application/json"):
    for _ in range(3):
        assert await of_post(server) is None
    told = await of_post(server, accept=accept)
    # Whoever has no token is somebody else.
    assert (await of_post(server, token=False)).code == "UNAUTHENTICATED"
    return told


async def one_operation_too_many_for_graphql_response(server):
    return await one_operation_too_many_over_http(server, GRAPHQL_RESPONSE)


async def one_operation_too_many_for_a_stream(server):
    return await one_operation_too_many_over_http(server, "text/event-stream")


async def one_operation_too_many_without_a_token(server):
    for _ in range(3):
        assert (await of_post(server, token=False)).code == "UNAUTHENTICATED"
    told = await of_post(server, token=False, accept=GRAPHQL_RESPONSE)
    # Whoever has a token is somebody else.
    assert await of_post(server) is None
    return told


async def one_introspection_too_many_without_a_token(server):
    for _ in range(20):
        assert await of_post(server, SCHEMA, token=False) is None
    told = await of_post(server, 'query { ...S } fragment S on Query { x: __type(name: "ID") { name } }', token=False)
    assert await of_post(server, "{ __typename }", token=False) is None
    assert await of_post(server, SCHEMA) is None
    return told


async def one_publish_too_many(server):
    async with graphql_socket(server) as socket:
        for _ in range(2):
            operation_id = await socket.subscribe(PUBLISH, live=False, **one_report())
            assert (await socket.receive("next"))["payload"]["data"]
            assert (await socket.receive("complete"))["id"] == operation_id
        told = await of_operation(socket, PUBLISH, **one_report("never recorded"))
        assert await server.services.store.device("1", "never recorded") is None
        return told


async def one_publish_too_many_over_http(server):
    for _ in range(2):
        assert await of_post(server, PUBLISH, **one_report()) is None
    return await of_post(server, PUBLISH, **one_report())


async def too_big_a_message(server):
    async with graphql_socket(server) as socket, graphql_socket(server) as other:
        await socket.send(id="1", type="subscribe", payload={"query": "x" * 2_000})
        told = await of_socket(socket)
        await other.barrier()
        return told


async def too_big_a_body(server):
    return await of_post(server, "x" * 2_000)


def document(query):
    async def over_websocket(server):
        async with graphql_socket(server) as socket:
            return await of_operation(socket, query)

    return over_websocket


def document_over_http(query, accept="application/json"):
    async def over_http(server):
        return await of_post(server, query, accept=accept)

    return over_http


def device_ids(query):
    async def over_websocket(server):
        async with graphql_socket(server) as socket:
            return await of_operation(socket, query, deviceIds=["a", "b", "c"])

    return over_websocket


async def too_large_variables_over_http(server):
    return await of_post(server, LIST, deviceIds=["x" * 40])


async def long_document_without_a_token(server):
    longest = "{ __typename } #" + "x" * (4_096 - 16)
    assert await of_post(server, longest, token=False) is None
    assert await of_post(server, longest + "x") is None
    return await of_post(server, longest + "x", token=False)


RATE = {"operations_per_second": 0.01, "operations_burst": 3}
PUBLISHES = {"publishes_per_second": 0.01, "publishes_burst": 2}
OPERATIONS_SENTENCE = "Expected at most 0.01 operations a second; repeat it in "
PUBLISHES_SENTENCE = "Expected at most 0.01 rounds a second of one subject. Nothing was recorded; repeat it in "
ALIASED = "{ a: viewer { b: id } c: viewer { id } }"
LIST = "query ($deviceIds: [ID!]) { devices(deviceIds: $deviceIds) { totalCount } }"
SCHEMA = "{ __schema { queryType { name } } }"
ROWS = {
    "subscriptions": (
        {"max_subscriptions_per_connection": 2},
        one_subscription_too_many,
        Told(0, "LIMIT_EXCEEDED", "Expected at most 2 subscriptions on one connection."),
    ),
    "operation_rate": (RATE, one_operation_too_many, Told(0, "RATE_LIMITED", OPERATIONS_SENTENCE)),
    "operation_rate over HTTP": (
        RATE,
        one_operation_too_many_over_http,
        Told(200, "RATE_LIMITED", OPERATIONS_SENTENCE),
    ),
    "operation_rate over HTTP, with a media type that has statuses": (
        RATE,
        one_operation_too_many_for_graphql_response,
        Told(429, "RATE_LIMITED", OPERATIONS_SENTENCE),
    ),
    "operation_rate of streams": (
        RATE,
        one_operation_too_many_for_a_stream,
        Told(429, "RATE_LIMITED", OPERATIONS_SENTENCE),
    ),
    "anonymous_rate over HTTP": (
        RATE,
        one_operation_too_many_without_a_token,
        Told(429, "RATE_LIMITED", "Expected at most 0.01 operations a second without a token; repeat it in "),
    ),
    "anonymous_introspection over HTTP": (
        {"operations_per_second": 0.01},
        one_introspection_too_many_without_a_token,
        Told(200, "RATE_LIMITED", "Expected at most 0.01 introspections a second without a token; repeat it in "),
    ),
    "publish_rate": (PUBLISHES, one_publish_too_many, Told(0, "RATE_LIMITED", PUBLISHES_SENTENCE)),
    "publish_rate over HTTP": (
        PUBLISHES,
        one_publish_too_many_over_http,
        Told(200, "RATE_LIMITED", PUBLISHES_SENTENCE),
    ),
    "message_size": ({"message_limit": 1_000}, too_big_a_message, Told(1009, None, "")),
    "body_size": (
        {"body_limit": 1_000},
        too_big_a_body,
        Told(413, "LIMIT_EXCEEDED", "expected a body of at most 1000 bytes"),
    ),
    "document_size": (
        {"max_document_tokens": 5},
        document("{ viewer { id subject } }"),
        Told(0, "LIMIT_EXCEEDED", "Expected a document of at most 5 tokens"),
    ),
    "anonymous_document over HTTP": (
        {},
        long_document_without_a_token,
        Told(200, "UNAUTHENTICATED", "Expected a token with a document of over 4096 characters"),
    ),
    "document_fields over HTTP": (
        {"max_document_fields": 2},
        document_over_http("{ viewer { id subject } }", GRAPHQL_RESPONSE),
        Told(400, "LIMIT_EXCEEDED", "Expected a document of at most 2 fields"),
    ),
    "document_aliases": (
        {"max_document_aliases": 2},
        document(ALIASED),
        Told(0, "LIMIT_EXCEEDED", "Expected a document of at most 2 aliases"),
    ),
    "document_depth over HTTP": (
        {"max_document_depth": 2},
        document_over_http(SCHEMA),
        Told(200, "LIMIT_EXCEEDED", "Expected a document of at most 2 levels"),
    ),
    "variables_size": (
        {"variables_limit": 20},
        device_ids(EVENTS),
        Told(0, "LIMIT_EXCEEDED", "Expected variables of at most 20 bytes"),
    ),
    "variables_size over HTTP": (
        {"variables_limit": 20},
        too_large_variables_over_http,
        Told(200, "LIMIT_EXCEEDED", "Expected variables of at most 20 bytes"),
    ),
    "list_length of a query": (
        {"max_device_ids": 2},
        device_ids(LIST),
        Told(0, "LIMIT_EXCEEDED", "Expected at most 2 deviceIds, but got 3"),
    ),
    "list_length of events": (
        {"max_device_ids": 2},
        device_ids(EVENTS),
        Told(0, "LIMIT_EXCEEDED", "Expected at most 2 deviceIds, but got 3"),
    ),
    "list_length of a list": (
        {"max_device_ids": 2},
        device_ids(DEVICES),
        Told(0, "LIMIT_EXCEEDED", "Expected at most 2 deviceIds, but got 3"),
    ),
    "introspection": (
        {"introspection": False},
        document(SCHEMA),
        Told(0, "GRAPHQL_VALIDATION_FAILED", "GraphQL introspection has been disabled"),
    ),
}


@pytest.mark.parametrize("row", ROWS)
async def test_who_meets_a_limit_is_told_and_counted(settings, secret, send_path, row):
    """Each limit, where a client meets it, is one refusal with its code and a sentence, and one count."""
    given, provoke, expected = ROWS[row]
    limit = row.split()[0]
    async with serve(settings.model_copy(update=given), secret) as server:
        told = await provoke(server)
        assert (told.number, told.code) == (expected.number, expected.code), told
        assert told.sentence.startswith(expected.sentence)
        if told.code == "RATE_LIMITED":
            assert 50 < told.retry_after <= 100
            assert f"repeat it in {told.retry_after:g} seconds" in told.sentence
        refusals = server.services.statistics().refusals
        if limit == "message_size" and send_path is SendPath.ASGI:
            # Another server closes by itself, and tells nobody.
            assert not any(refusals.values())
        else:
            assert {name: count for name, count in refusals.items() if count} == {limit: 1}


async def test_forty_schools_publish_at_once_with_the_default_limits(server):
    """One checker sends a round for each of forty schools at once over one socket: all are recorded."""
    schools = [f"school {number}" for number in range(40)]
    async with Socket.open(server, server.token(*schools)) as socket:
        ids = set()
        for school in schools:
            ids.add(await socket.subscribe(PUBLISH, live=False, schoolId=school, **one_report()))
        for _ in range(2 * len(schools)):
            message = await socket.receive()
            if message["type"] == "next":
                assert message["payload"]["data"]["publishDeviceStatuses"]["changed"] == 1
            else:
                ids.remove(message["id"])
        assert not ids


async def test_who_may_not_publish_uses_up_nobody_s_pace(settings, secret):
    """A screen with the checker's subject but without its scope is refused, and slows the checker down by nothing."""
    async with serve(settings.model_copy(update=PUBLISHES), secret) as server:
        for _ in range(5):
            with pytest.raises(GraphQLError) as refused:
                await post(server, PUBLISH, server.token(scopes=["devices:read"]), **one_report())
            assert refused.value.code == "FORBIDDEN"
        for _ in range(2):
            assert await of_post(server, PUBLISH, **one_report()) is None


async def test_revoking_has_the_pace_of_publishing(settings, secret):
    """Revocations of one subject beyond its burst are RATE_LIMITED: nobody fills the list of them in one go."""
    revoke = (
        'mutation { one: revokeTokens(subject: "a") two: revokeTokens(subject: "b") three: revokeTokens(subject: "c") }'
    )
    async with serve(settings.model_copy(update=PUBLISHES), secret) as server:
        assert (await of_post(server, revoke)).code == "RATE_LIMITED"


async def test_who_waits_as_long_as_told_is_let_through(settings, secret):
    """After retryAfter seconds the same operation is answered."""
    limits = {"operations_per_second": 20.0, "operations_burst": 1}
    async with serve(settings.model_copy(update=limits), secret) as server, graphql_socket(server) as socket:
        await of_query(socket)
        told = await of_operation(socket, SUMMARY)
        await asyncio.sleep(told.retry_after)
        await of_query(socket)
