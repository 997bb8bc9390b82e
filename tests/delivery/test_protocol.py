"""The graphql-transport-ws messages, one by one and in any order."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.delivery.close_codes import CloseCode
from graphql_api.delivery.connection import ConnectionState, Reply, ServerConnection
from graphql_api.delivery.protocol import (
    Complete,
    ConnectionInit,
    Ping,
    Pong,
    ProtocolViolation,
    Subscribe,
    connection_ack,
    parse_message,
    ping,
    pong,
)
from graphql_api.delivery.request import GraphQLRequest
from tests.delivery.conversation import INIT, QUERY, ready, subscribe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (INIT, ConnectionInit()),
        ('{"type":"connection_init","payload":null}', ConnectionInit()),
        ('{"type":"connection_init","payload":{"token":"t"}}', ConnectionInit({"token": "t"})),
        ('{"type":"ping"}', Ping()),
        ('{"type":"ping","payload":{"a":[1,2.5,"x",null,true]}}', Ping({"a": [1, 2.5, "x", None, True]})),
        ('{"type":"pong","payload":{}}', Pong({})),
        ('{"id":"1","type":"complete"}', Complete("1")),
        (' {"id":"1","type":"complete","extra":1}\n', Complete("1")),
    ],
)
def test_valid_messages(text, message):
    """Each message is read with its payload; null counts as absent, and further fields are ignored."""
    assert parse_message(text) == message


@pytest.mark.parametrize(
    ("payload", "request_"),
    [
        ({}, GraphQLRequest(QUERY)),
        ({"operationName": None, "variables": None, "extensions": None}, GraphQLRequest(QUERY)),
        ({"operationName": ""}, GraphQLRequest(QUERY)),
        (
            {"operationName": "A", "variables": {"a": 1}, "extensions": {"resumeFrom": "c"}},
            GraphQLRequest(QUERY, "A", {"a": 1}, {"resumeFrom": "c"}),
        ),
    ],
)
def test_subscribe_holds_a_request(payload, request_):
    """A subscribe holds the four parameters of a GraphQL request, of which three may be left out."""
    message = parse_message(subscribe("é" * 64, **payload))

    assert isinstance(message, Subscribe)
    assert (message.id, message.request) == ("é" * 64, request_)


INVALID = [
    ("", "not valid JSON"),
    ("hello", "not valid JSON"),
    ("{} {}", "not valid JSON"),
    ('\ufeff{"type":"ping"}', "not valid JSON"),
    ("null", "message"),
    ("1", "message"),
    ('"ping"', "message"),
    ("[]", "message"),
    ("{}", "type"),
    ('{"type":null}', "type"),
    ('{"type":["ping"]}', "type"),
    ('{"type":"start"}', "type"),
    (json.dumps({"type": "x" * 10_000}), "type"),
    ('{"type":"next","id":"1","payload":{}}', "type"),
    ('{"type":"error","id":"1","payload":[]}', "type"),
    ('{"type":"connection_ack"}', "type"),
    *((json.dumps({"type": kind, "payload": payload}), "payload")
      for kind in ("connection_init", "ping", "pong") for payload in ([], "x", 0, False)),
    *((subscribe(operation_id), "id") for operation_id in (None, 0, "", [], {}, "x" * 129, "é" * 65)),
    ('{"type":"subscribe","payload":{"query":"{a}"}}', "id"),
    *((json.dumps({"id": "1", "type": "subscribe", "payload": payload}), "payload") for payload in (None, [], "x", 1)),
    ('{"id":"1","type":"subscribe"}', "payload"),
    ('{"id":"1","type":"subscribe","payload":{}}', "payload.query"),
    *((subscribe(query=query), "payload.query") for query in (None, 1, [], {})),
    *((subscribe(operationName=name), "payload.operationName") for name in (1, False, [], {})),
    *((subscribe(variables=variables), "payload.variables") for variables in (1, False, [], "{}")),
    *((subscribe(extensions=extensions), "payload.extensions") for extensions in (1, False, [], "{}")),
    ('{"type":"complete"}', "id"),
    ('{"type":"complete","id":""}', "id"),
    # What readers of JSON take differently, or can't carry on.
    ("[" * 100_000, "nested"),
    ('{"a":' * 100_000, "nested"),
    ("[" * 300 + "]" * 300, "254 levels"),
    ("1" * 5_000, "digits"),
    ('{"type":"ping","payload":{"a":18446744073709551616}}', "64 bits"),
    ('{"type":"ping","payload":{"a":-9223372036854775809}}', "64 bits"),
    ('{"type":"ping","payload":{"a":1e999}}', "range"),
    ('{"type":"ping","payload":{"a":-1e999}}', "range"),
    ('{"type":"ping","payload":{"a":NaN}}', "NaN"),
    ('{"type":"ping","payload":{"a":-Infinity}}', "Infinity"),
    ('{"type":"ping","type":"pong"}', "twice"),
    ('{"type":"ping","payload":{"a":{"b":1,"\\u0062":2}}}', "twice"),
    ('{"id":"\\ud800","type":"complete"}', "surrogate"),
    ('{"type":"ping","payload":{"\\udc00":1}}', "surrogate"),
    ('{"id":"\ud800","type":"complete"}', "surrogate"),
    ('{"type":"ping\x00"}', "not valid JSON"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "named"), INVALID, ids=range(len(INVALID)))
def test_invalid_messages(text, named):
    """Whatever is not a valid message is refused with 4400 and a reason that names the field."""
    with pytest.raises(ProtocolViolation) as caught:
        parse_message(text)

    assert caught.value.code is CloseCode.BAD_REQUEST
    assert named in caught.value.reason
    assert len(caught.value.reason.encode()) <= 123


def test_binary_messages_are_refused():
    """The protocol knows text messages only."""
    with pytest.raises(ProtocolViolation, match="4400: expected a text message"):
        parse_message(b'{"type":"ping"}')


@pytest.mark.parametrize("bad", ["[" * 1_000_000, "1" * 1_000_000, '"\\' * 300_000, "[" + "9" * 4_000 + ","])
def test_hostile_text_is_refused_at_once(bad):
    """A megabyte made to be slow costs milliseconds of CPU at most."""
    before = time.process_time()
    with pytest.raises(ProtocolViolation):
        parse_message(bad)

    assert time.process_time() - before < 0.2


@given(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_exact_or_refused(integer, number):
    """An integer arrives as it was sent or is refused, and a float always arrives as it was sent."""
    text = subscribe(variables={"i": integer, "f": number})
    if -(2**63) <= integer < 2**64:
        message = parse_message(text)
        assert isinstance(message, Subscribe)
        found = message.request.variables
        assert (found["i"], type(found["i"]), found["f"], type(found["f"])) == (integer, int, number, float)
    else:
        with pytest.raises(ProtocolViolation, match="64 bits"):
            parse_message(text)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner))
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "type": st.sampled_from(["connection_init", "ping", "pong", "subscribe", "complete", "next"]) | JSON,
        "payload": JSON | st.dictionaries(st.sampled_from(["query", "variables", "operationName"]), JSON),
    },
)


@given(st.text(st.characters()) | (JSON | FIELDS).map(json.dumps))
def test_no_text_does_worse_than_a_violation(text):
    """Any text at all is a message or a violation with a code of the table and a reason that fits."""
    connection = ready()
    found = None
    try:
        connection.receive(text)
    except ProtocolViolation as violation:
        found = violation

    assert (connection.state is ConnectionState.CLOSED) == (found is not None)
    if found is not None:
        assert isinstance(found.code, CloseCode)
        assert 1 <= len(found.reason.encode()) <= 123


@given(st.dictionaries(st.text(), st.text() | st.integers(-(2**63), 2**64 - 1) | st.lists(st.floats(-1e9, 1e9))))
def test_pong_echoes_the_payload(payload):
    """A ping's payload comes back as it was sent."""
    reply = ServerConnection().receive(json.dumps({"type": "ping", "payload": payload}))

    assert isinstance(reply, Reply)
    assert json.loads(reply.text) == {"type": "pong", "payload": payload}


def test_pong_without_payload():
    """A ping without a payload is answered by a pong without one."""
    assert ServerConnection().receive('{"type":"ping"}') == Reply('{"type":"pong"}')


@pytest.mark.parametrize(("build", "kind"), [(connection_ack, "connection_ack"), (ping, "ping"), (pong, "pong")])
def test_builders(build, kind):
    """A message is built with its payload, or without the field."""
    assert json.loads(build({"schools": ["a"]})) == {"type": kind, "payload": {"schools": ["a"]}}
    assert json.loads(build()) == {"type": kind}
