"""The rules of one connection: tables of cases, and a stateful test against a model."""

import json

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from graphql_api.delivery.close_codes import CloseCode
from graphql_api.delivery.connection import Completed, ConnectionState, Reply, ServerConnection
from graphql_api.delivery.protocol import (
    ConnectionInit,
    ProtocolViolation,
    Subscribe,
    ping,
    pong,
)
from graphql_api.delivery.request import GraphQLRequest
from tests.delivery.conversation import INIT, QUERY, begun, complete, ready, subscribe


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
