"""How often something may happen: token buckets, without I/O and without a clock.

A bucket is one integer, as in the generic cell rate algorithm (ITU-T I.371, annex A): the moment at which it will be
full again. Taking a token moves it on by the time that a token needs to come back; a bucket whose moment has passed is
full, and need not be kept. Moments are nanoseconds of a clock that never goes back, so there is nothing to round.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from time import monotonic_ns

__all__ = ["Bucket", "Buckets", "BucketsStatistics", "Rate"]

_SECOND = 1_000_000_000
_MILLISECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second over time, and so many at once after a pause."""

    per_second: float
    burst: int

    def take(self, full_at: int, now: int) -> tuple[int, int]:
        """Take a token of the bucket that is full at ``full_at`` (0 for a new one).

        Returns when the bucket is full now, and how many nanoseconds to wait before trying again: 0 when the token was
        taken. A token that is refused costs nothing.
        """
        interval = self._interval
        begin = max(full_at, now)
        if (wait := begin - now - (self.burst - 1) * interval) > 0:
            return full_at, wait
        return begin + interval, 0

    @property
    def _interval(self) -> int:
        return max(1, round(_SECOND / self.per_second))


class Bucket:
    """A bucket that belongs to somebody."""

    __slots__ = ("_full_at",)

    def __init__(self) -> None:
        self._full_at = 0

    def take(self, rate: Rate) -> float:
        """Take a token; the seconds to wait where there is none, and else 0."""
        self._full_at, wait = rate.take(self._full_at, monotonic_ns())
        return _seconds(wait)


def _seconds(nanoseconds: int) -> float:
    """To the millisecond, and never too few."""
    return -(-nanoseconds // _MILLISECOND) / 1_000


@dataclass(frozen=True, slots=True)
class BucketsStatistics:
    """How many buckets there are."""

    buckets: int
    forgotten: int
    """Buckets that had to make room while they were not full, since the start: their keys began anew."""


class Buckets:
    """A bucket for each key. Bounded: beyond ``most``, the one that was used least recently makes room."""

    def __init__(self, rate: Rate, *, most: int = 10_000, clock: Callable[[], int] = monotonic_ns) -> None:
        self.rate = rate
        self._most = most
        self._clock = clock
        self._full_at: OrderedDict[Hashable, int] = OrderedDict()
        self._forgotten = 0

    def take(self, key: Hashable) -> float:
        """Take a token of the key's bucket; the seconds to wait where there is none, and else 0."""
        now = self._clock()
        full_at, wait = self.rate.take(self._full_at.get(key, 0), now)
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        self._make_room(now)
        return _seconds(wait)

    def statistics(self) -> BucketsStatistics:
        """A snapshot."""
        return BucketsStatistics(len(self._full_at), self._forgotten)

    def _make_room(self, now: int) -> None:
        # Two at a time: the table gets smaller although one comes with each call.
        for _ in range(min(2, len(self._full_at))):
            oldest, full_at = next(iter(self._full_at.items()))
            if full_at > now:
                if len(self._full_at) <= self._most:
                    return
                self._forgotten += 1
            del self._full_at[oldest]
