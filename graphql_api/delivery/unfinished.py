"""What clients that take nothing have not got yet of something whole, kept for when they do: bounded. No I/O."""

from collections.abc import Hashable
from dataclasses import dataclass

__all__ = ["Unfinished", "UnfinishedStatistics"]


@dataclass(frozen=True, slots=True)
class UnfinishedStatistics:
    """How much is kept for them."""

    bytes: int = 0
    """Of results; what several have in common counts once, by the longest rest."""
    kept: int = 0
    """Subscribers for whom something is kept."""
    forgotten: int = 0
    """Times that there was no room, since the start: those clients are told the whole anew."""


class Unfinished:
    """Room for the rests of snapshots and long lists, of all stalled subscribers of the process together.

    One who finds none begins its snapshot anew when its client takes something again. Those who have room get to the
    end of theirs, or are let go, and make room: so all get there.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._wholes: dict[Hashable, Hashable] = {}
        # How many wait for the rest of a whole, and the size of the longest rest so far, which holds all others.
        self._kept: dict[Hashable, tuple[int, int]] = {}
        self._bytes = 0
        self._forgotten = 0

    def hold(self, owner: Hashable, whole: Hashable, size: int) -> bool:
        """Whether there is room for the rest of a whole, of so many bytes; it is taken until :meth:`release`."""
        self.release(owner)
        others, counted = self._kept.get(whole, (0, 0))
        more = max(size - counted, 0)
        if self._bytes + more > self._limit:
            self._forgotten += 1
            return False
        self._bytes += more
        self._wholes[owner] = whole
        self._kept[whole] = others + 1, counted + more
        return True

    def release(self, owner: Hashable) -> None:
        """Give the room back. May be repeated."""
        whole = self._wholes.pop(owner, None)
        if whole is None:
            return
        owners, size = self._kept.pop(whole)
        if owners > 1:
            self._kept[whole] = owners - 1, size
        else:
            self._bytes -= size

    def statistics(self) -> UnfinishedStatistics:
        """A snapshot of the counts."""
        return UnfinishedStatistics(self._bytes, len(self._wholes), self._forgotten)
