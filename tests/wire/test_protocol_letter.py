"""graphql-transport-ws to the letter, over a real socket: every rule of the protocol, one row each.

Source: PROTOCOL.md of github.com/enisdenjo/graphql-ws, and what its reference server's validation demands of a
message. The rules themselves, without a socket, are tested in tests/delivery/test_protocol.py and test_connection.py.
"""

import json
from typing import Any

import pytest

from graphql_api.delivery.close_codes import MAX_REASON_BYTES, CloseCode
from tests.wire.clients import EVENTS, Socket, publish

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_logged")]

NO_OBJECTS = ([], ["x"], "text", "", 7, 0, 1.5, True, False)
NO_STRINGS = (None, {}, [], 7, 0, True, False)
QUERY = "{ __typename }"
SUBSCRIBE = {"type": "subscribe", "id": "1", "payload": {"query": QUERY}}


def named(value: Any) -> str:
    """A parameter in a test's name: some have a hundred thousand characters."""
    return ascii(value)[:40]


def without(message: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != key}


def asking(**payload: Any) -> dict[str, Any]:
    return {**SUBSCRIBE, "payload": {"query": QUERY, **payload}}


# What is no message, with the field or the fault that the reason must name.
NO_MESSAGES: list[tuple[dict[str, Any], str]] = [
    ({}, "type"),
    *(({"type": kind}, "type") for kind in NO_STRINGS),
    *(
        ({"type": kind}, "type")
        for kind in ("", "Ping", "ping ", "start", "stop", "next", "error", "connection_ack", "connection_error", "ka")
    ),
    ({"type": "x" * 10_000}, "type"),
    ({"type": "\U0001f600" * 10_000}, "type"),
    ({"type": '"\\\n\r\0\x1b[31m' * 50}, "type"),
    *(
        ({"type": kind, "payload": payload}, "payload")
        for kind in ("connection_init", "ping", "pong")
        for payload in NO_OBJECTS
    ),
    *(
        ({**message, "id": operation_id}, "id")
        for message in (SUBSCRIBE, {"type": "complete"})
        for operation_id in (*NO_STRINGS, "", "x" * 129, "é" * 65, "x" * 100_000)
    ),
    (without(SUBSCRIBE, "id"), "id"),
    ({"type": "complete"}, "id"),
    (without(SUBSCRIBE, "payload"), "payload"),
    *(({**SUBSCRIBE, "payload": payload}, "payload") for payload in (None, *NO_OBJECTS)),
    ({**SUBSCRIBE, "payload": {}}, "payload.query"),
    *((asking(query=query), "payload.query") for query in NO_STRINGS),
    *((asking(operationName=name), "payload.operationName") for name in NO_STRINGS if name is not None),
    *((asking(variables=variables), "payload.variables") for variables in NO_OBJECTS),
    *((asking(extensions=extensions), "payload.extensions") for extensions in NO_OBJECTS),
]

DEEP = 60_000
PING = '{{"type":"ping","payload":{{"x":{}}}}}'

# What is no JSON, or JSON that nobody could hand on as it came.
NO_JSON: list[tuple[str, str]] = [
    ("", "not valid JSON"),
    (" ", "not valid JSON"),
    ("ping", "not valid JSON"),
    ("{", "not valid JSON"),
    ("{'type': 'ping'}", "not valid JSON"),
    ('{"type": "ping",}', "not valid JSON"),
    ('{"type": "ping"} {"type": "ping"}', "not valid JSON"),
    ('{"type": "ping"} // why', "not valid JSON"),
    ('﻿{"type": "ping"}', "JSON"),
    ('{"type": "ping\0"}', "not valid JSON"),
    ("null", "must be a JSON object"),
    ("true", "must be a JSON object"),
    ("0", "must be a JSON object"),
    ('"ping"', "must be a JSON object"),
    ("[]", "must be a JSON object"),
    ('[{"type": "ping"}]', "must be a JSON object"),
    (PING.format("NaN"), "NaN"),
    (PING.format("Infinity"), "Infinity"),
    (PING.format("-Infinity"), "Infinity"),
    (PING.format("1e999"), "range of floats"),
    (PING.format(10**400), "integer over 64 bits"),
    (PING.format(2**64), "integer over 64 bits"),
    (PING.format(-(2**63) - 1), "integer over 64 bits"),
    (PING.format("9" * 200_000), "digits"),
    (PING.format('"\\ud800"'), "lone surrogate"),
    (PING.format('{"\\udfff":1}'), "lone surrogate"),
    ('{"type": "complete", "id": "\\ud800"}', "lone surrogate"),
    ('{"type": "\\ud800"}', "lone surrogate"),
    (PING.format('{"a":1,"a":1}'), "twice"),
    ('{"type": "ping", "type": "ping"}', "twice"),
    (PING.format("[" * 300 + "]" * 300), "254 levels"),
    (PING.format("[" * DEEP + "]" * DEEP), "deep"),
    (PING.format('{"x":' * 30_000 + "0" + "}" * 30_000), "deep"),
    ("[" * 200_000, "deep"),
]


async def refused(socket: Socket, code: CloseCode, names: str) -> None:
    """That the socket is closed with this code, and a reason that fits a close frame and names what was wrong."""
    found, reason = await socket.closed()
    assert found == code
    assert names in reason
    assert len(reason.encode()) <= MAX_REASON_BYTES


@pytest.mark.parametrize(("message", "names"), NO_MESSAGES, ids=named)
@pytest.mark.parametrize("acknowledged", [False, True], ids=["fresh", "acknowledged"])
async def test_a_missing_or_wrongly_typed_field_closes_with_4400_and_is_named(
    standing_server, message, names, acknowledged
):
    """Each field of each message is checked, before the ack and after it, and the reason names it."""
    token = standing_server.token() if acknowledged else None
    async with Socket.open(standing_server, token) as socket:
        await socket.connection.send(json.dumps(message))
        await refused(socket, CloseCode.BAD_REQUEST, names)


@pytest.mark.parametrize(("text", "names"), NO_JSON, ids=named)
async def test_what_is_no_json_object_closes_with_4400(standing_server, text, names):
    """Whatever text is no JSON object that can be handed on exactly closes with 4400, however deep or large (G-18)."""
    async with Socket.open(standing_server, standing_server.token()) as socket:
        await socket.connection.send(text)
        await refused(socket, CloseCode.BAD_REQUEST, names)


@pytest.mark.parametrize("data", [b"", b'{"type": "ping"}', b"\xff\x00"])
async def test_binary_messages_close_with_4400(standing_server, data):
    """The protocol knows text only: a binary message closes with 4400, though it held a good message."""
    async with Socket.open(standing_server) as socket:
        await socket.connection.send(data)
        await refused(socket, CloseCode.BAD_REQUEST, "binary")


ECHOED: list[Any] = [
    {},
    {"x": None, "y": [1, 2.5, "é", "\U0001f600", {"z": [[]]}], "": ""},
    {"n": [2**63, -(2**63), 2**64 - 1, 0.1, 1e300]},
    {"s": '\0\x1f"\\/ '},
    {"deep": json.loads("[" * 200 + "]" * 200)},
]


@pytest.mark.parametrize("payload", ECHOED, ids=named)
@pytest.mark.parametrize("acknowledged", [False, True], ids=["fresh", "acknowledged"])
async def test_a_ping_is_answered_at_once_with_its_payload(standing_server, payload, acknowledged):
    """At any time a ping gets a pong with the very same payload."""
    token = standing_server.token() if acknowledged else None
    async with Socket.open(standing_server, token) as socket:
        await socket.send(type="ping", payload=payload)
        assert await socket.receive() == {"type": "pong", "payload": payload}


@pytest.mark.parametrize("message", [{"type": "ping"}, {"type": "ping", "payload": None}])
async def test_a_ping_without_payload_gets_a_pong_without(standing_server, message):
    """A payload that is null or absent is none."""
    async with Socket.open(standing_server) as socket:
        await socket.send(**message, unknown="fields are ignored")
        assert await socket.receive() == {"type": "pong"}


@pytest.mark.parametrize(
    "message",
    [
        {"type": "pong"},
        {"type": "pong", "payload": None},
        {"type": "pong", "payload": {"x": 1}},
        {"type": "complete", "id": "nobody"},
        {"type": "complete", "id": "x" * 128, "payload": 7},
    ],
)
@pytest.mark.parametrize("acknowledged", [False, True], ids=["fresh", "acknowledged"])
async def test_what_needs_no_answer_gets_none(standing_server, message, acknowledged):
    """A pong that nobody asked for and a complete of an unknown id are taken in silence, before the ack and after."""
    token = standing_server.token() if acknowledged else None
    async with Socket.open(standing_server, token) as socket:
        await socket.send(**message)
        await socket.barrier()


@pytest.mark.parametrize(
    "message", [{}, {"payload": None}, {"payload": {}}, {"payload": {"resumeFrom": None, "x": 1}}, {"id": 7}]
)
async def test_an_init_without_a_token_is_a_legal_message(standing_server, message):
    """connection_init with payload null, absent or anything else that is an object is no violation."""
    async with Socket.open(standing_server) as socket:
        await socket.send(type="connection_init", **message)
        code, reason = await socket.closed()
        assert (code, reason.partition(":")[0]) == (CloseCode.FORBIDDEN, "token-missing")
    headers = {"authorization": f"Bearer {standing_server.token()}"}
    async with Socket.open(standing_server, additional_headers=headers) as socket:
        await socket.send(type="connection_init", **message)
        await socket.receive("connection_ack")


async def test_a_second_init_closes_with_4429_even_in_the_same_breath(standing_server):
    """Two inits at once, the second before the answer to the first: 4429, as later on."""
    payload = {"token": standing_server.token()}
    init = json.dumps({"type": "connection_init", "payload": payload})
    async with Socket.open(standing_server) as socket:
        await socket.connection.send(init)
        await socket.connection.send(init)
        await socket.receive("connection_ack")
        await refused(socket, CloseCode.TOO_MANY_INITS, "Too many initialisation requests")
    async with Socket.open(standing_server, standing_server.token()) as socket:
        await socket.send(type="connection_init", payload={"token": "not even looked at"})
        await refused(socket, CloseCode.TOO_MANY_INITS, "Too many initialisation requests")


async def test_a_subscribe_before_the_ack_closes_with_4401(standing_server):
    """No operation begins before the connection is acknowledged."""
    async with Socket.open(standing_server) as socket:
        await socket.send(**SUBSCRIBE)
        await refused(socket, CloseCode.UNAUTHORIZED, "Unauthorized")


@pytest.mark.parametrize("operation_id", ["x", "é" * 64, '"\\', "\0", "x" * 128, "\U0001f600" * 32], ids=named)
async def test_an_id_in_use_closes_with_4409(standing_server, operation_id):
    """A second subscribe with the id of an active subscription closes the socket, and the reason names the id."""
    async with Socket.open(standing_server, standing_server.token()) as socket:
        subscribe = {"id": operation_id, "type": "subscribe", "payload": {"query": EVENTS}}
        await socket.send(**subscribe)
        assert list((await socket.receive("ping"))["payload"]["cursors"]) == [operation_id]
        await socket.send(**subscribe)
        await refused(socket, CloseCode.SUBSCRIBER_EXISTS, f"Subscriber for {operation_id}"[:40])


@pytest.mark.parametrize("subprotocols", [["graphql-ws", "graphql-transport-ws"], ["graphql-transport-ws", "x"]])
async def test_the_subprotocol_is_chosen_among_several(standing_server, subprotocols):
    """A client that offers several subprotocols gets graphql-transport-ws."""
    async with Socket.open(standing_server, standing_server.token(), subprotocols=subprotocols) as socket:
        assert socket.connection.subprotocol == "graphql-transport-ws"


@pytest.mark.parametrize("operation_id", ["1", "\0", '\\"\n', "é" * 64, "\U0001f600" * 32, "x" * 128], ids=named)
async def test_an_id_is_sent_back_as_it_came_and_free_again_after_each_end(standing_server, operation_id):
    """A query's id comes back as it was, and may be used again after its complete, after an error, after ours."""
    async with Socket.open(standing_server, standing_server.token()) as socket:
        for _ in range(2):
            await socket.send(**{**SUBSCRIBE, "id": operation_id})
            answer = {"id": operation_id, "type": "next", "payload": {"data": {"__typename": "Query"}}}
            assert await socket.receive() == answer
            assert await socket.receive() == {"id": operation_id, "type": "complete"}
        for _ in range(2):
            await socket.send(**{**asking(query="{"), "id": operation_id})
            assert (await socket.receive("error"))["id"] == operation_id
        for _ in range(2):
            await socket.send(**{**asking(query=EVENTS), "id": operation_id})
            await socket.receive("ping")
            await socket.send(type="complete", id=operation_id)
        await socket.send(type="complete", id=operation_id)
        await socket.barrier()


HUGE = 10**400
WITH_INT = "query Q($n: Int!) { devices(first: $n) { totalCount } }"

# Operations that can't be begun: each gets an error of its own, and no more.
REFUSED: list[tuple[dict[str, Any], str | None]] = [
    ({"query": ""}, "GRAPHQL_PARSE_FAILED"),
    ({"query": " \n# nothing but a comment"}, "GRAPHQL_PARSE_FAILED"),
    ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
    ({"query": "\0"}, "GRAPHQL_PARSE_FAILED"),
    ({"query": "{ \0 }"}, "GRAPHQL_PARSE_FAILED"),
    ({"query": "subscription"}, "GRAPHQL_PARSE_FAILED"),
    ({"query": '{ device(deviceId: "\\ud800") { id } }'}, "GRAPHQL_PARSE_FAILED"),
    ({"query": '{ device(deviceId: "\\u{110000}") { id } }'}, "GRAPHQL_PARSE_FAILED"),
    ({"query": '{ device(deviceId: """never closed) { id } }'}, "GRAPHQL_PARSE_FAILED"),
    ({"query": "{a" * 30_000}, "GRAPHQL_PARSE_FAILED"),
    ({"query": "{" * 60_000}, "GRAPHQL_PARSE_FAILED"),
    ({"query": "{ a(b: " + "[" * 60_000}, "GRAPHQL_PARSE_FAILED"),
    ({"query": "{ a(b: " + "[" * 30_000 + "]" * 30_000 + ") }"}, "GRAPHQL_PARSE_FAILED"),
    ({"query": "{ a(b: " + "{a:" * 15_000 + "1" + "}" * 15_000 + ") }"}, "GRAPHQL_PARSE_FAILED"),
    ({"query": "query Q($a: " + "[" * 30_000 + "Int" + "]" * 30_000 + ") { a }"}, "GRAPHQL_PARSE_FAILED"),
    ({"query": "{" * 200_000}, "LIMIT_EXCEEDED"),
    ({"query": "{ nothing }"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": "{ " + "x" * 60_000 + " }"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": "fragment F on Query { __typename }"}, None),
    ({"query": "{ ...F } fragment F on Query { ...F }"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": f"{{ devices(first: {HUGE}) {{ totalCount }} }}"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": "{ devices(first: " + "9" * 60_000 + ") { totalCount } }"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": "{ devices(first: 1e999) { totalCount } }"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": "{ __typename @defer }"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": "{ __typename } { __typename }"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": "{ __typename } query Q { __typename }", "operationName": "Q"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": "type T { a: Int }"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": "subscription { a: statusSummary { total } b: statusSummary { total } }"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": "subscription { __typename }"}, "GRAPHQL_VALIDATION_FAILED"),
    ({"query": "{ __typename }", "operationName": "Q"}, "BAD_USER_INPUT"),
    ({"query": "query Q { __typename }", "operationName": "q"}, "BAD_USER_INPUT"),
    ({"query": "query A { __typename } query B { __typename }"}, "BAD_USER_INPUT"),
    ({"query": WITH_INT}, "BAD_USER_INPUT"),
    ({"query": WITH_INT, "variables": {"n": None}}, "BAD_USER_INPUT"),
    ({"query": WITH_INT, "variables": {"n": "1"}}, "BAD_USER_INPUT"),
    ({"query": WITH_INT, "variables": {"n": 1.5}}, "BAD_USER_INPUT"),
    ({"query": WITH_INT, "variables": {"n": True}}, "BAD_USER_INPUT"),
    ({"query": WITH_INT, "variables": {"n": 2**63}}, "BAD_USER_INPUT"),
    ({"query": WITH_INT, "variables": {"n": 1e300}}, "BAD_USER_INPUT"),
    ({"query": EVENTS, "variables": {"statuses": ["BROKEN"]}}, "BAD_USER_INPUT"),
    ({"query": EVENTS, "variables": {"statuses": {"a": 1}}}, "BAD_USER_INPUT"),
    ({"query": EVENTS, "variables": {"deviceIds": json.loads("[" * 200 + "]" * 200)}}, "BAD_USER_INPUT"),
    ({"query": EVENTS, "variables": {"schoolId": "2"}}, "FORBIDDEN"),
]


@pytest.mark.parametrize(("payload", "code"), REFUSED, ids=named)
async def test_an_operation_that_cannot_begin_ends_alone(standing_server, payload, code):
    """What does not parse, validate or coerce gets one error, no complete, and ends nothing else (G-17)."""
    token = standing_server.token()
    async with Socket.open(standing_server, token) as socket:
        living = await socket.subscribe(EVENTS)
        await socket.send(type="subscribe", id="bad", payload=payload)
        message = await socket.receive("error")
        assert message["id"] == "bad"
        assert message["payload"], "an error message has at least one error"
        for error in message["payload"]:
            assert isinstance(error["message"], str)
            assert code is None or error["extensions"]["code"] == code
        await socket.barrier()
        await publish(standing_server, token, a="ONLINE", b="ONLINE")
        await publish(standing_server, token, a="OFFLINE")
        while (await socket.item(living))["status"] != "OFFLINE":
            pass


UNUSUAL = [
    {"query": QUERY, "variables": None, "operationName": None, "extensions": None},
    {"query": QUERY, "operationName": ""},
    {"query": QUERY, "variables": {"undeclared": [1, {"x": None}]}, "extensions": {"unknown": [True]}},
    {"query": QUERY, "variables": {"undeclared": 2**64 - 1}, "unknown": "fields are ignored"},
    {"query": "query A { __typename } query B { nothing: __typename }", "operationName": "A"},
    {"query": "﻿{ __typename }"},
    {"query": '{ __typename # a comment with \\0, "quotes" and \U0001f600\n }'},
    {"query": "{" + " __typename" * 30 + " }"},
]


@pytest.mark.parametrize("payload", UNUSUAL, ids=named)
async def test_what_is_unusual_but_valid_is_answered(standing_server, payload):
    """Nulls, unknown names, undeclared variables and odd but legal documents are answered like any other."""
    async with Socket.open(standing_server, standing_server.token()) as socket:
        await socket.send(**{**SUBSCRIBE, "payload": payload})
        data = (await socket.receive("next"))["payload"]["data"]
        assert set(data.values()) == {"Query"}
        assert await socket.receive() == {"id": "1", "type": "complete"}


async def test_a_filter_by_ids_that_no_device_can_have_lets_nothing_through(standing_server):
    """A control character or an endless id in a filter is no error of anybody's: such a device just never reports."""
    token = standing_server.token()
    async with Socket.open(standing_server, token) as socket:
        await socket.subscribe(EVENTS, deviceIds=["\0", "x" * 10_000, ""])
        await publish(standing_server, token, a="ONLINE", b="OFFLINE")
        await publish(standing_server, token, a="OFFLINE")
        await socket.barrier()
