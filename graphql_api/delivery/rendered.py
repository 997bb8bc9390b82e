"""What was rendered lately, kept for the next one who needs it: bounded in bytes for the whole process. No I/O."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

__all__ = ["RenderedResults", "RenderedStatistics"]

# What an entry costs besides the bytes in it, roughly: the objects that hold them.
_ENTRY_COST = 400


@dataclass(frozen=True, slots=True)
class RenderedStatistics:
    """How much is kept, and how useful it is."""

    bytes: int = 0
    """Estimated."""
    entries: int = 0
    hits: int = 0
    evicted: int = 0
    """Entries forgotten because the limit was reached; who needs them has them rendered again."""


class RenderedResults:
    """Entries of many owners. When there are too many bytes, that goes which was not asked for the longest."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[tuple[Hashable, Hashable], tuple[Any, int]] = OrderedDict()
        self._of_owner: dict[Hashable, dict[Hashable, None]] = {}
        self._bytes = 0
        self._hits = 0
        self._evicted = 0

    def statistics(self) -> RenderedStatistics:
        """A snapshot of the counters."""
        return RenderedStatistics(self._bytes, len(self._entries), self._hits, self._evicted)

    def get(self, owner: Hashable, key: Hashable) -> Any:
        """What is kept there, or None."""
        found = self._entries.get((owner, key))
        if found is None:
            return None
        self._entries.move_to_end((owner, key))
        self._hits += 1
        return found[0]

    def put(self, owner: Hashable, key: Hashable, value: Any, size: int) -> None:
        """Keep it, as long as there is room. What is larger than the limit would drive out all others for nothing."""
        self.drop(owner, key)
        cost = size + _ENTRY_COST
        if cost > self._limit:
            return
        self._entries[owner, key] = value, cost
        self._of_owner.setdefault(owner, {})[key] = None
        self._bytes += cost
        while self._bytes > self._limit:
            oldest = next(iter(self._entries))
            self.drop(*oldest)
            self._evicted += 1

    def drop(self, owner: Hashable, key: Hashable) -> None:
        """Forget one entry, if it is there."""
        found = self._entries.pop((owner, key), None)
        if found is None:
            return
        self._bytes -= found[1]
        keys = self._of_owner[owner]
        del keys[key]
        if not keys:
            del self._of_owner[owner]

    def drop_all(self, owner: Hashable) -> None:
        """Forget all that an owner has."""
        for key in list(self._of_owner.get(owner, ())):
            self.drop(owner, key)
