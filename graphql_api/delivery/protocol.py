"""The graphql-transport-ws protocol as a server speaks it: its messages, without I/O.

Source: PROTOCOL.md of github.com/enisdenjo/graphql-ws, sections "Communication", "Message types" and
"Invalid message". Where it leaves the server a choice:

- Everything that is not a valid message closes with 4400 and a reason that names the field.
- Text that JSON can't carry exactly (lone surrogates, integers over 64 bits, NaN; see
  :func:`~graphql_api.delivery.request.read_json`) is not valid. So an id and a ping's payload
  can always be sent back as they came.
- An operation id is a non-empty string of at most 128 bytes of UTF-8.
- A payload that is null counts as absent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from graphql_api.delivery.close_codes import CloseCode, close_reason
from graphql_api.delivery.request import GraphQLRequest, Malformed, kind_of, read_json_object, read_parameters

__all__ = [
    "MAX_ID_BYTES",
    "SUBPROTOCOL",
    "Complete",
    "ConnectionInit",
    "Message",
    "Ping",
    "Pong",
    "ProtocolViolation",
    "Subscribe",
    "connection_ack",
    "encode",
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


@dataclass(slots=True, eq=False)
class Subscribe:
    """An operation begins. Each is itself only: ids are used again, and hash and equality tell them apart."""

    id: str
    request: GraphQLRequest | None

    def take_request(self) -> GraphQLRequest:
        """What is asked for, once: a subscription outlives its request by hours.

        Raises:
            RuntimeError: it was taken before.
        """
        request, self.request = self.request, None
        if request is None:
            raise RuntimeError("the request was taken before")
        return request


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
    return encode({"type": kind} if payload is None else {"type": kind, "payload": payload})


def encode(value: Any) -> str:
    """A message, or a part of one, as JSON text."""
    return orjson.dumps(value).decode()
