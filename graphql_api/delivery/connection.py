"""The rules of one graphql-transport-ws connection, without I/O: what may come when, and what answers it.

Source: PROTOCOL.md of github.com/enisdenjo/graphql-ws, sections "Communication" and "Message types".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from graphql_api.delivery.close_codes import CloseCode
from graphql_api.delivery.protocol import (
    Complete,
    ConnectionInit,
    Message,
    Ping,
    Pong,
    ProtocolViolation,
    Subscribe,
    connection_ack,
    encode,
    parse_message,
    pong,
)

__all__ = ["Completed", "ConnectionState", "Event", "Reply", "ServerConnection"]


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
        return f'{{"id":{encode(operation.id)},"type":"next","payload":{result.decode()}}}'

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
        return encode(message)
