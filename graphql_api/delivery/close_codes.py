"""The one table of WebSocket close codes; no other module writes one as a number.

The codes 44xx are those of the graphql-transport-ws protocol (its PROTOCOL.md, and the published
implementation's table where the protocol leaves them open); the codes 1xxx are registered by
RFC 6455 section 7.4 and with IANA.
"""

from enum import IntEnum
from typing import Self

__all__ = ["MAX_REASON_BYTES", "CloseCode", "close_reason"]

MAX_REASON_BYTES = 123
"""A control frame carries at most 125 bytes (RFC 6455 section 5.5), and the code takes two of them."""


class CloseCode(IntEnum):
    """Why the service closes a WebSocket; as a number, it is what goes over the wire.

    A code is for clients to act on, so ``may_retry`` agrees with what the widespread graphql-ws
    client does by itself: after a code where it is false, connecting again with the same
    messages ends the same way.
    """

    reason: str
    """What the close frame says when the moment has nothing better to say."""
    issued_when: str
    """The rule, as the documentation prints it."""
    may_retry: bool
    """Whether connecting again can help."""

    def __new__(cls, number: int, reason: str, issued_when: str, may_retry: bool) -> Self:  # noqa: D102, FBT001 - makes a row; a column
        row = int.__new__(cls, number)
        row._value_ = number
        row.reason = reason
        row.issued_when = issued_when
        row.may_retry = may_retry
        return row

    NORMAL = 1000, "Normal closure", "either side is done", False
    BROKEN_FRAME = 1002, "Protocol error", "a frame is not as RFC 6455 has it", False
    NOT_UTF8 = 1007, "Invalid text", "a text message, or the reason of a close frame, is not UTF-8", False
    MESSAGE_TOO_BIG = 1009, "Message too big", "a message is larger than the service reads", False
    SERVICE_RESTART = 1012, "Service restart", "the service is being restarted; another process may answer now", True
    TRY_AGAIN_LATER = 1013, "Try again later", "the service is full, or this client is hopelessly slow", True
    BAD_REQUEST = 4400, "Invalid message", "what came is not a valid message; the reason names the field", False
    UNAUTHORIZED = 4401, "Unauthorized", "a subscribe came before the connection was acknowledged", False
    FORBIDDEN = (
        4403,
        "token-invalid: the token was refused",
        "the token or the origin is refused: the reason begins with the kind of refusal; retry with another token",
        True,
    )
    SUBPROTOCOL_NOT_ACCEPTABLE = (
        4406,
        "Subprotocol not acceptable",
        "the handshake does not offer graphql-transport-ws",
        False,
    )
    CONNECTION_INIT_TIMEOUT = (
        4408,
        "Connection initialisation timeout",
        "no connection_init came in time",
        True,
    )
    SUBSCRIBER_EXISTS = 4409, "Subscriber already exists", "a subscribe has the id of an active operation", False
    TOO_MANY_INITS = 4429, "Too many initialisation requests", "a second connection_init came", False


def close_reason(text: str) -> str:
    """The text as a close frame can carry it: at most 123 bytes of UTF-8, cut between characters.

    Lone surrogates, which UTF-8 can't hold, become question marks.
    """
    # No character takes less than a byte: a huge text is cut before it is encoded.
    encoded = text[:MAX_REASON_BYTES].encode("utf-8", "replace")
    return encoded[:MAX_REASON_BYTES].decode("utf-8", "ignore")
