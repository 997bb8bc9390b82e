"""What this service's server offers beyond ASGI (:mod:`.server`), and what becomes of it on another server.

An ASGI extension of our own. For a WebSocket it is a :class:`Wire`, which the application may take over: frames go to
the transport as they are, and what comes is handed to the application as it comes, without a task that waits for it.
For HTTP it is the transport alone, to see what the client has not taken.
"""

from asyncio import Transport
from collections.abc import MutableMapping
from typing import Any, Protocol, cast

__all__ = ["EXTENSION", "Client", "Wire", "offer", "transport_of", "wire_of"]

EXTENSION = "device_status.transport"
"""The extension's name in the scope."""


class Client(Protocol):
    """Whoever has taken a wire over. None of these calls may raise."""

    def on_message(self, message: str | bytes) -> None:
        """A whole message has come."""

    def on_writable(self, *, writable: bool) -> None:
        """Bytes are waiting for the client to take them (False), or it has taken all of them."""

    def on_gone(self) -> None:
        """Nothing will come any more, and nothing can be sent. May be called more than once."""

    def on_oversized(self) -> None:
        """A message was larger than is read; the server closes the wire for it (1009)."""

    def on_restart(self) -> None:
        """The server is about to end: close the wire."""


class Wire(Protocol):
    """A WebSocket after its handshake, as the server has it."""

    transport: Transport
    """Takes whole frames of a server."""

    def hand_over(self, client: Client) -> None:
        """From now on the client is told what comes, first of all what has come already.

        The application's coroutine may end; the connection stays.
        """

    def close(self, code: int, reason: str) -> None:
        """Send a close frame, and see that the connection ends soon, whatever the peer does. May be repeated."""


def offer(scope: MutableMapping[str, Any], *, transport: Transport, wire: Wire | None = None) -> None:
    """Offer the extension to the application that gets this scope."""
    scope.setdefault("extensions", {})[EXTENSION] = {"transport": transport, "wire": wire}


def wire_of(scope: MutableMapping[str, Any]) -> Wire | None:
    """What the server offers for this WebSocket; None on another server."""
    return cast("Wire | None", scope.get("extensions", {}).get(EXTENSION, {}).get("wire"))


def transport_of(scope: MutableMapping[str, Any]) -> Transport | None:
    """The transport of this connection; None on another server."""
    return cast("Transport | None", scope.get("extensions", {}).get(EXTENSION, {}).get("transport"))
