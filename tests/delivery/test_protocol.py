"""The graphql-transport-ws messages, one by one and in any order."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from graphql_api.delivery.close_codes import CloseCode
from graphql_api.delivery.protocol import (
    Complete,
    Completed,
    ConnectionInit,
    ConnectionState,
    Ping,
    Pong,
    ProtocolViolation,
    Reply,
    ServerConnection,
    Subscribe,
    connection_ack,
    parse_message,
    ping,
    pong,
)
from graphql_api.delivery.request import GraphQLRequest

INIT = '{"type":"connection_init"}'
QUERY = "subscription { deviceStatus { deviceId } }"


def subscribe(operation_id: Any = "1", **payload: Any) -> str:
    return json.dumps({"id": operation_id, "type": "subscribe", "payload": {"query": QUERY, **payload}})


def complete(operation_id: str = "1") -> str:
    return json.dumps({"id": operation_id, "type": "complete"})


def ready() -> ServerConnection:
    connection = ServerConnection()
    connection.receive(INIT)
    connection.acknowledge()
    return connection


def begun(connection: ServerConnection, operation_id: str = "1") -> Subscribe:
    operation = connection.receive(subscribe(operation_id))
    assert isinstance(operation, Subscribe)
    return operation


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


def test_an_ordinary_conversation():
    """From connection_init to the end of an operation, each side says what the protocol expects."""
    connection = ServerConnection()

    assert connection.receive('{"type":"connection_init","payload":{"token":"t"}}') == ConnectionInit({"token": "t"})
    assert connection.state is ConnectionState.ACKNOWLEDGING
    assert connection.acknowledge({"schools": ["a"]}) == '{"type":"connection_ack","payload":{"schools":["a"]}}'
    operation = begun(connection, 'a"\n')
    assert connection.active == ('a"\n',)
    assert json.loads(connection.next(operation, '{"data":"é"}'.encode())) == {
        "id": 'a"\n', "type": "next", "payload": {"data": "é"},
    }  # fmt: skip
    assert json.loads(connection.complete(operation)) == {"id": 'a"\n', "type": "complete"}
    assert connection.active == ()


def test_error_ends_an_operation():
    """After an error the id is free, and neither a result nor a complete follows."""
    connection = ready()
    operation = begun(connection)

    assert json.loads(connection.error(operation, [{"message": "no"}])) == {
        "id": "1", "type": "error", "payload": [{"message": "no"}],
    }  # fmt: skip
    assert connection.next(operation, b"{}") is None
    assert connection.complete(operation) is None
    assert begun(connection).id == "1"


def violation(connection: ServerConnection, text: str) -> ProtocolViolation:
    with pytest.raises(ProtocolViolation) as caught:
        connection.receive(text)
    assert connection.state is ConnectionState.CLOSED
    return caught.value


@pytest.mark.parametrize("acknowledged", [False, True])
def test_second_init(acknowledged):
    """A second connection_init closes with 4429, also while the first is being looked at."""
    connection = ServerConnection()
    connection.receive(INIT)
    if acknowledged:
        connection.acknowledge()

    assert violation(connection, INIT).code is CloseCode.TOO_MANY_INITS


@pytest.mark.parametrize("initialised", [False, True])
def test_subscribe_before_ack(initialised):
    """A subscribe before the ack closes with 4401, whether or not a connection_init came."""
    connection = ServerConnection()
    if initialised:
        connection.receive(INIT)

    assert violation(connection, subscribe()).code is CloseCode.UNAUTHORIZED


@pytest.mark.parametrize(
    ("operation_id", "reason"),
    [("1", "Subscriber for 1 already exists"), ("é" * 64, "Subscriber for " + "é" * 54)],
)
def test_id_in_use(operation_id, reason):
    """A subscribe with an active id closes with 4409, and the reason is cut to fit."""
    connection = ready()
    begun(connection, operation_id)
    found = violation(connection, subscribe(operation_id))

    assert (found.code, found.reason) == (CloseCode.SUBSCRIBER_EXISTS, reason)


def test_the_old_operation_never_speaks_for_the_new():
    """What is left of an operation that the client completed is not sent under the same id's next operation."""
    connection = ready()
    old = begun(connection)
    assert connection.receive(complete()) == Completed(old)
    new = begun(connection)

    assert connection.next(old, b"{}") is None
    assert connection.complete(old) is None
    assert connection.error(old, []) is None
    assert not connection.is_active(old)
    assert connection.next(new, b"{}") is not None


@pytest.mark.parametrize("connection", [ServerConnection(), ready()])
def test_completing_an_unknown_id(connection):
    """A complete for an id that is not active is ignored, in any state."""
    assert connection.receive(complete("unknown")) is None


def test_nothing_is_said_after_the_close():
    """After a violation nothing is read or sent any more, and close names what has to be stopped."""
    connection = ready()
    operation = begun(connection)
    violation(connection, "nonsense")

    assert connection.receive(subscribe("2")) is None
    assert connection.next(operation, b"{}") is None
    assert connection.complete(operation) is None
    assert connection.error(operation, []) is None
    assert connection.close() == (operation,)
    assert connection.close() == ()


def test_closed_while_acknowledging():
    """There is no ack for a connection that closed while its token was being checked."""
    connection = ServerConnection()
    connection.receive(INIT)
    connection.close()

    assert connection.acknowledge() is None


@pytest.mark.parametrize("connection", [ServerConnection(), ready()])
def test_acknowledging_out_of_turn(connection):
    """Acknowledging without a connection_init, or twice, is the shell's mistake and is said so."""
    with pytest.raises(RuntimeError, match="nothing to acknowledge"):
        connection.acknowledge()


IDS = st.sampled_from(["1", "2", "3"])


class ConnectionModel(RuleBasedStateMachine):
    """A connection beside a model of it: what was said so far, and which operation holds which id."""

    operations = Bundle("operations")

    def __init__(self) -> None:
        super().__init__()
        self.connection = ServerConnection()
        self.inits = 0
        self.acknowledged = False
        self.closed = False
        self.holders: dict[str, Subscribe] = {}

    def refused(self, text: str, code: CloseCode) -> None:
        with pytest.raises(ProtocolViolation) as caught:
            self.connection.receive(text)
        assert caught.value.code is code
        self.closed = True

    def speaks(self, operation: Subscribe) -> bool:
        return not self.closed and self.holders.get(operation.id) is operation

    @rule()
    def init(self):
        if self.closed:
            assert self.connection.receive(INIT) is None
        elif self.inits:
            self.refused(INIT, CloseCode.TOO_MANY_INITS)
        else:
            assert self.connection.receive(INIT) == ConnectionInit()
            self.inits = 1

    @precondition(lambda self: self.inits and not self.acknowledged)
    @rule()
    def acknowledge(self):
        assert (self.connection.acknowledge() is None) == self.closed
        self.acknowledged = True

    @rule(target=operations, operation_id=IDS)
    def subscribe(self, operation_id):
        if self.closed:
            assert self.connection.receive(subscribe(operation_id)) is None
        elif not self.acknowledged:
            self.refused(subscribe(operation_id), CloseCode.UNAUTHORIZED)
        elif operation_id in self.holders:
            self.refused(subscribe(operation_id), CloseCode.SUBSCRIBER_EXISTS)
        else:
            self.holders[operation_id] = begun(self.connection, operation_id)
            return self.holders[operation_id]
        return Subscribe(operation_id, GraphQLRequest(QUERY))  # one that this connection never began

    @rule(operation_id=IDS)
    def client_completes(self, operation_id):
        event = self.connection.receive(complete(operation_id))
        known = None if self.closed else self.holders.pop(operation_id, None)
        assert event == (known and Completed(known))

    @rule(operation=operations)
    def next_result(self, operation):
        assert (self.connection.next(operation, b"{}") is not None) == self.speaks(operation)

    @rule(operation=consumes(operations), failed=st.booleans())
    def server_ends(self, operation, failed):
        text = self.connection.error(operation, []) if failed else self.connection.complete(operation)
        assert (text is not None) == self.speaks(operation)
        if self.speaks(operation):
            del self.holders[operation.id]

    @rule(text=st.sampled_from([ping(), ping({"a": 1})]))
    def ping_at_any_time(self, text):
        expected = None if self.closed else Reply(text.replace("ping", "pong"))
        assert self.connection.receive(text) == expected

    @rule()
    def pong_at_any_time(self):
        assert self.connection.receive(pong()) is None

    @rule(closing=st.integers(0, 9))
    def close(self, closing):
        if closing:  # seldom, or no run would get far
            return
        assert self.connection.close() == tuple(self.holders.values())
        self.closed = True
        self.holders = {}

    @invariant()
    def the_same_ids_are_active(self):
        assert self.connection.active == tuple(self.holders)
        assert (self.connection.state is ConnectionState.CLOSED) == self.closed


class TestConnectionModel(ConnectionModel.TestCase):
    """Whatever both sides say in whatever order, the connection does what the model does."""
