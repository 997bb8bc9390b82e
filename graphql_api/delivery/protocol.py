"""The graphql-transport-ws protocol as a server speaks it: messages and the connection's rules, without I/O.

Source: PROTOCOL.md of github.com/enisdenjo/graphql-ws, sections "Communication", "Message types" and
"Invalid message". Where it leaves the server a choice:

- Everything that is not a valid message closes with 4400 and a reason that names the field.
- Text that JSON can't carry exactly (lone surrogates, integers over 64 bits, NaN; see
  :func:`~graphql_api.delivery.request.read_json`) is not valid. So an id and a ping's payload
  can always be sent back as they came.
- An operation id is a non-empty string of at most 128 bytes of UTF-8.
- A payload that is null counts as absent.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import orjson

from graphql_api.delivery.close_codes import CloseCode, close_reason
from graphql_api.delivery.request import GraphQLRequest, Malformed, kind_of, read_json_object, read_parameters

__all__ = [
    "MAX_ID_BYTES",
    "SUBPROTOCOL",
    "Complete",
    "Completed",
    "ConnectionInit",
    "ConnectionState",
    "Event",
    "Message",
    "Ping",
    "Pong",
    "ProtocolViolation",
    "Reply",
    "ServerConnection",
    "Subscribe",
    "connection_ack",
    "parse_message",
    "ping",
    "pong",
]

SUBPROTOCOL = "graphql-transport-ws"
MAX_ID_BYTES = 128


class ProtocolViolation(Exception):
    """The client broke a rule: close the socket with ``code`` and ``reason`` (1 to 123 bytes)."""

    def __init__(self, code: CloseCode, reason: str | None = None) -> None:
        self.code = code
        self.reason = close_reason(reason or code.reason)
        super().__init__(f"{code.value}: {self.reason}")


@dataclass(frozen=True, slots=True)
class ConnectionInit:
    """The client wants to begin; the payload holds its token."""

    payload: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Ping:
    """The client wants a pong with the same payload."""

    payload: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping of ours, or one that nobody asked for."""

    payload: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Subscribe:
    """An operation begins. Each is itself only: ids are used again, and hash and equality tell them apart."""

    id: str
    request: GraphQLRequest


@dataclass(frozen=True, slots=True)
class Complete:
    """The client has stopped listening."""

    id: str


Message = ConnectionInit | Ping | Pong | Subscribe | Complete
"""What a client may send."""


def parse_message(data: str | bytes) -> Message:
    """The message that a WebSocket message holds: a text one, as the protocol knows no binary ones.

    Raises:
        ProtocolViolation: 4400, with a reason that names the field.
    """
    if isinstance(data, bytes):
        raise ProtocolViolation(CloseCode.BAD_REQUEST, "expected a text message, but got a binary one")
    try:
        return _read_message(read_json_object(data, "the message"))
    except Malformed as error:
        raise ProtocolViolation(CloseCode.BAD_REQUEST, str(error)) from error


def _read_message(message: Mapping[str, Any]) -> Message:
    kind = message.get("type")
    if not isinstance(kind, str):
        raise Malformed(f"type must be a string, but is {kind_of(kind)}")
    # What only a server sends, such as next, is as unknown here as anything else.
    if kind not in _READERS:
        raise Malformed(f"type is unknown: {kind[:64]!r}")
    return _READERS[kind](message)


def _read_id(message: Mapping[str, Any]) -> str:
    value = message.get("id")
    if not isinstance(value, str):
        raise Malformed(f"id must be a string, but is {kind_of(value)}")
    size = len(value.encode())
    if not 1 <= size <= MAX_ID_BYTES:
        raise Malformed(f"id must have 1 to {MAX_ID_BYTES} bytes of UTF-8, but has {size}")
    return value


def _read_payload(message: Mapping[str, Any]) -> dict[str, Any] | None:
    payload = message.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise Malformed(f"payload must be an object, null or absent, but is {kind_of(payload)}")
    return payload


def _read_subscribe(message: Mapping[str, Any]) -> Subscribe:
    operation_id = _read_id(message)
    payload = message.get("payload")
    if not isinstance(payload, dict):
        raise Malformed(f"payload must be an object, but is {kind_of(payload)}")
    return Subscribe(operation_id, read_parameters(payload, "payload."))


_READERS: dict[str, Callable[[Mapping[str, Any]], Message]] = {
    "connection_init": lambda message: ConnectionInit(_read_payload(message)),
    "ping": lambda message: Ping(_read_payload(message)),
    "pong": lambda message: Pong(_read_payload(message)),
    "subscribe": _read_subscribe,
    "complete": lambda message: Complete(_read_id(message)),
}


class ConnectionState(Enum):
    """How far a connection has come."""

    AWAITING_INIT = auto()
    ACKNOWLEDGING = auto()
    READY = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Reply:
    """To be sent to the client as it is."""

    text: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The client has completed this operation, which was active until now: stop it."""

    operation: Subscribe


Event = ConnectionInit | Subscribe | Completed | Reply
"""What a client's message asks of the shell."""


class ServerConnection:
    """The rules of one connection. Texts go in and out; the shell around it does the I/O and keeps the time.

    An operation is active from its ``subscribe`` until either side completes it. It is handed about
    as the :class:`Subscribe` that began it and not by its id, which the client may use again at once:
    what is still to come of the old operation can then never pass for the new one's.
    """

    def __init__(self) -> None:
        self._state = ConnectionState.AWAITING_INIT
        self._operations: dict[str, Subscribe] = {}

    @property
    def state(self) -> ConnectionState:
        """How far the connection has come; the shell's timer for 4408 looks at it."""
        return self._state

    @property
    def active(self) -> tuple[str, ...]:
        """The ids in use, oldest first."""
        return tuple(self._operations)

    def is_active(self, operation: Subscribe) -> bool:
        """Whether messages for this operation may still be sent."""
        return self._state is ConnectionState.READY and self._operations.get(operation.id) is operation

    def receive(self, message: str | bytes) -> Event | None:
        """Take a message from the client; returns what is to be done, None for nothing.

        After the connection has closed, whatever still comes in is ignored.

        Raises:
            ProtocolViolation: the connection has closed; the socket should be, with this code.
        """
        if self._state is ConnectionState.CLOSED:
            return None
        try:
            return self._handle(parse_message(message))
        except ProtocolViolation:
            self._state = ConnectionState.CLOSED
            raise

    def acknowledge(self, payload: Mapping[str, Any] | None = None) -> str | None:
        """Accept the ``connection_init``: the ``connection_ack`` to send, or None if the connection closed meanwhile.

        Raises:
            RuntimeError: there is no ``connection_init`` to accept, or it was accepted before.
        """
        if self._state is ConnectionState.CLOSED:
            return None
        if self._state is not ConnectionState.ACKNOWLEDGING:
            raise RuntimeError(f"there is nothing to acknowledge in state {self._state.name}")
        self._state = ConnectionState.READY
        return connection_ack(payload)

    def next(self, operation: Subscribe, result: bytes) -> str | None:
        """The message that carries an execution result (encoded JSON), or None if the operation is over."""
        if not self.is_active(operation):
            return None
        return f'{{"id":{_encode(operation.id)},"type":"next","payload":{result.decode()}}}'

    def complete(self, operation: Subscribe) -> str | None:
        """End an operation: the message that says so, or None if it is over already."""
        return self._end(operation, {"id": operation.id, "type": "complete"})

    def error(self, operation: Subscribe, errors: Sequence[Mapping[str, Any]]) -> str | None:
        """End an operation that could not be executed: the message that says so, or None if it is over already."""
        return self._end(operation, {"id": operation.id, "type": "error", "payload": list(errors)})

    def close(self) -> tuple[Subscribe, ...]:
        """The socket has closed, or is about to: the operations that were active and should be stopped."""
        self._state = ConnectionState.CLOSED
        operations = tuple(self._operations.values())
        self._operations.clear()
        return operations

    def _handle(self, message: Message) -> Event | None:
        match message:
            case Ping():
                return Reply(pong(message.payload))
            case Pong():
                return None
            case ConnectionInit():
                if self._state is not ConnectionState.AWAITING_INIT:
                    raise ProtocolViolation(CloseCode.TOO_MANY_INITS)
                self._state = ConnectionState.ACKNOWLEDGING
                return message
            case Subscribe():
                return self._begin(message)
            case Complete():
                # An unknown id is no violation: our own complete may have crossed the client's.
                operation = self._operations.pop(message.id, None)
                return Completed(operation) if operation else None

    def _begin(self, operation: Subscribe) -> Subscribe:
        if self._state is not ConnectionState.READY:
            raise ProtocolViolation(CloseCode.UNAUTHORIZED)
        if operation.id in self._operations:
            raise ProtocolViolation(CloseCode.SUBSCRIBER_EXISTS, f"Subscriber for {operation.id} already exists")
        self._operations[operation.id] = operation
        return operation

    def _end(self, operation: Subscribe, message: dict[str, Any]) -> str | None:
        if not self.is_active(operation):
            return None
        del self._operations[operation.id]
        return _encode(message)


def connection_ack(payload: Mapping[str, Any] | None = None) -> str:
    """The message that accepts a ``connection_init``."""
    return _with_payload("connection_ack", payload)


def ping(payload: Mapping[str, Any] | None = None) -> str:
    """The message that asks for a pong."""
    return _with_payload("ping", payload)


def pong(payload: Mapping[str, Any] | None = None) -> str:
    """The message that answers a ping."""
    return _with_payload("pong", payload)


def _with_payload(kind: str, payload: Mapping[str, Any] | None) -> str:
    return _encode({"type": kind} if payload is None else {"type": kind, "payload": payload})


def _encode(value: Any) -> str:
    return orjson.dumps(value).decode()
