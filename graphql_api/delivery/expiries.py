"""When tokens expire: one heap for all connections, so that expiry is exact, and idle ones cost no timer."""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable

from graphql_api.moment import Clock, Moment

__all__ = ["Expiries"]

logger = logging.getLogger(__name__)

# Entries of connections that have gone are left in the heap until there are this many more of them than of others.
_LEFTOVERS = 1_000

# Wall clocks are set, and timers follow another clock: it is looked again at least as often as this, in seconds.
_LONGEST_WAIT = 60.0


class Expiries:
    """Calls back for whoever has expired: at the moment itself, and whenever :meth:`expire` is called.

    Whoever sends something calls :meth:`expire` first: the timer may be late.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # No callbacks in the heap: what is left over in it must not keep connections that have gone.
        self._heap: list[tuple[Moment, int]] = []
        self._numbers = itertools.count()
        self._current: dict[int, Callable[[], None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._current)

    def add(self, expires_at: Moment, on_expired: Callable[[], None]) -> int:
        """Have this called once, from that moment on; returns a number to :meth:`remove` it by."""
        number = next(self._numbers)
        self._current[number] = on_expired
        heapq.heappush(self._heap, (expires_at, number))
        if self._heap[0][1] == number:
            self._set_timer()
        return number

    def remove(self, number: int) -> None:
        """Don't call it. May be repeated, and called when it has expired."""
        self._current.pop(number, None)
        if len(self._heap) > 2 * len(self._current) + _LEFTOVERS:
            self._heap = [entry for entry in self._heap if entry[1] in self._current]
            heapq.heapify(self._heap)

    def expire(self) -> None:
        """Call back for all that have expired by now."""
        heap = self._heap
        if not heap or heap[0][0] > self._clock():
            return
        now = self._clock()
        while heap and heap[0][0] <= now:
            _, number = heapq.heappop(heap)
            if on_expired := self._current.pop(number, None):
                _call(on_expired)
            # A callback may have made another heap.
            heap = self._heap
        self._set_timer()

    def close(self) -> None:
        """Call nobody any more."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        self.close()
        if self._heap:
            left = (self._heap[0][0] - self._clock()) / 1_000_000
            self._timer = asyncio.get_running_loop().call_later(min(max(left, 0.0), _LONGEST_WAIT), self._look)

    def _look(self) -> None:
        self._timer = None
        self.expire()
        if self._timer is None:
            self._set_timer()


def _call(on_expired: Callable[[], None]) -> None:
    try:
        on_expired()
    except Exception:  # the others must not be served beyond their time, nor whoever asked be hindered
        logger.exception("A caller whose token has expired could not be sent away.")
