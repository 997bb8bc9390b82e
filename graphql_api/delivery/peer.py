"""The client's end of a connection, below ASGI: what it has not taken yet, and letting it go at once.

An ASGI extension of this service's own (:mod:`.server` offers it). On a server without it, nothing is
known of what a client takes, and a client that does not let go is left to the server.
"""

from asyncio import Transport
from collections.abc import MutableMapping
from typing import Any

__all__ = ["EXTENSION", "Peer", "offer"]

EXTENSION = "device_status.transport"
"""The extension's name in the scope."""


def offer(scope: MutableMapping[str, Any], transport: Transport) -> None:
    """Offer the extension to the application that gets this scope."""
    scope.setdefault("extensions", {})[EXTENSION] = {"transport": transport}


class Peer:
    """A client, and how long it has taken nothing."""

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        self._transport: Transport | None = scope.get("extensions", {}).get(EXTENSION, {}).get("transport")
        self._untaken = 0
        self._since = 0.0

    def idle(self, now: float) -> float:
        """Seconds that the client has taken no byte although some are waiting for it.

        As seen at the calls of this method: call it from time to time, with the time of the loop.
        """
        untaken = 0 if self._transport is None else self._transport.get_write_buffer_size()
        # While bytes are waiting nothing is added to them but an odd control frame, so fewer means taken.
        if untaken == 0 or untaken < self._untaken or self._untaken == 0:
            self._since = now
        self._untaken = untaken
        return now - self._since

    def abort(self) -> None:
        """Let the client go at once: what it has not taken is lost."""
        if self._transport is not None:
            self._transport.abort()
