"""When a worker that has ended is started again, and when there is no sense in it. Without processes and clocks."""

__all__ = ["LONGEST_DELAY", "LONG_LIFE", "Restarts"]

LONG_LIFE = 60.0
"""Seconds after which a worker's end is no longer held to be of the kind that the next one meets at once."""

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
"""Seconds between two starts: none after the first short life, then doubled with each further one in a row."""


class Restarts:
    """Follows the workers, which are numbered from 0, by what they do.

    Until each has served once, the command has not started: one that can't start ends it. Later, one that can't start
    is tried again for as long as another one serves, since a database may be out of reach for a while.
    """

    def __init__(self, workers: int) -> None:
        self._never_served = set(range(workers))
        self._serving: set[int] = set()
        self._short_lives = dict.fromkeys(range(workers), 0)

    @property
    def complete(self) -> bool:
        """Whether each worker has served once."""
        return not self._never_served

    def served(self, worker: int) -> None:
        """It serves from now on."""
        self._serving.add(worker)
        self._never_served.discard(worker)

    def ended(self, worker: int, lived: float) -> float | None:
        """It ended by itself, so many seconds after its start: seconds until the next start, or None for no more."""
        served = worker in self._serving
        self._serving.discard(worker)
        if not served and not (self.complete and self._serving):
            return None
        if served and lived >= LONG_LIFE:
            self._short_lives[worker] = 0
            return 0.0
        self._short_lives[worker] += 1
        return self._delay(self._short_lives[worker] - 2)

    @staticmethod
    def _delay(doublings: int) -> float:
        # The exponent is bounded before the power is taken.
        return min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(doublings, 32)) if doublings >= 0 else 0.0
