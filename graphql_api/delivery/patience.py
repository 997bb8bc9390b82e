"""Patience with clients that take nothing: one watch over all connections of the process."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from graphql_api.delivery.peer import Peer

__all__ = ["Patience"]

# Looks within the time that a client has: the more, the more exact its end.
_LOOKS = 4


class Patience:
    """Calls back for each watched client that has taken no byte for so many seconds, although some are waiting.

    A client that takes anything at all, however slowly, has all the time in the world: it costs a place in the
    log. One that takes nothing holds a socket and its buffers.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._watched: dict[Peer, Callable[[], None]] = {}
        self.exhausted = 0
        """Clients that were let go, since the start."""

    @contextmanager
    def watching(self, peer: Peer, on_stalled: Callable[[], None]) -> Iterator[None]:
        """Watch a client while the context lasts."""
        self._watched[peer] = on_stalled
        try:
            yield
        finally:
            self._watched.pop(peer, None)

    async def run(self) -> None:
        """Look at all watched clients from time to time, until cancelled."""
        while True:
            await asyncio.sleep(self._seconds / _LOOKS)
            self.look(asyncio.get_running_loop().time())

    def look(self, now: float) -> None:
        """Look once, at this time of the loop."""
        for peer, on_stalled in list(self._watched.items()):
            if peer.idle(now) >= self._seconds:
                self.exhausted += 1
                del self._watched[peer]
                on_stalled()
