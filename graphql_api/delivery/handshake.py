"""What is of interest in the head of a request, a WebSocket's handshake above all."""

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Self

from graphql_api.delivery.admission import address_of
from graphql_api.delivery.origins import origin_of, own_origin_of

__all__ = ["Handshake", "Receive", "Scope", "header"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Scope = MutableMapping[str, Any]


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value.decode("latin-1"))
    return None


@dataclass(frozen=True, slots=True)
class Handshake:
    """What is of interest in a WebSocket's handshake."""

    subprotocols: tuple[str, ...]
    authorization: str | None
    query: bytes
    address: str | None
    origin: str | None
    """Of the page that asks, in a browser."""
    own_origin: str
    """The service's own, as the client calls it."""

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """That of the scope."""
        return cls(
            tuple(scope["subprotocols"]),
            header(scope, b"authorization"),
            scope["query_string"],
            address_of(scope),
            origin_of(scope),
            own_origin_of(scope),
        )
