"""Patience with clients that take nothing: one watch over all that have not taken what they were sent."""

import asyncio
import logging
from collections.abc import Callable, Hashable

__all__ = ["Patience"]

logger = logging.getLogger(__name__)

# Looks within the time that a client has: the more, the more exact its end.
_LOOKS = 4


class _Watched:
    __slots__ = ("on_stalled", "since", "untaken", "waiting")

    def __init__(self, waiting: Callable[[], int], on_stalled: Callable[[], None]) -> None:
        self.waiting = waiting
        self.on_stalled = on_stalled
        self.untaken = -1
        self.since = 0.0


class Patience:
    """Calls back for each watched client that has taken no byte for so many seconds, although some are waiting.

    A client that takes anything at all, however slowly, has all the time in the world: it costs a place in the
    log. One that takes nothing holds a socket and its buffers.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        """How long a client may take nothing."""
        self._watched: dict[Hashable, _Watched] = {}
        self.exhausted = 0
        """Clients that were let go, since the start."""

    def watch(self, key: Hashable, waiting: Callable[[], int], on_stalled: Callable[[], None]) -> None:
        """Watch a client, who is being watched already or not.

        Args:
            key: to :meth:`forget` it by.
            waiting: the bytes that it has not taken; nothing is added to them but by its own taking.
            on_stalled: called once, when it has taken nothing for too long; it is then watched no longer.
        """
        self._watched.setdefault(key, _Watched(waiting, on_stalled))

    def forget(self, key: Hashable) -> None:
        """Watch it no longer. May be repeated."""
        self._watched.pop(key, None)

    async def run(self) -> None:
        """Look at all watched clients from time to time, until cancelled."""
        while True:
            await asyncio.sleep(self.seconds / _LOOKS)
            self.look(asyncio.get_running_loop().time())

    def look(self, now: float) -> None:
        """Look once, at this time of the loop."""
        for key, watched in list(self._watched.items()):
            untaken = watched.waiting()
            if untaken == 0 or untaken < watched.untaken or watched.untaken <= 0:
                watched.since = now
            watched.untaken = untaken
            if now - watched.since >= self.seconds and key in self._watched:
                self.exhausted += 1
                del self._watched[key]
                _call(watched.on_stalled)


def _call(on_stalled: Callable[[], None]) -> None:
    try:
        on_stalled()
    except Exception:  # one connection's defect must not end the watch over the others
        logger.exception("A client that takes nothing could not be let go.")
