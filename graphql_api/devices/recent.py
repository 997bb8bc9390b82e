"""Recent changes in memory: rounds that subscribers catch up from without asking the store. No I/O."""

from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from graphql_api.devices.model import Change, Round
from graphql_api.moment import Moment

__all__ = ["Backlog", "RecentChanges", "RecentStatistics"]

# What a change costs in memory: the object, its integers, and its device id, roughly.
_CHANGE_COST = 400

# Rounds that are looked at one by one, from the newest on, before the place is searched for among all.
_FEW_ROUNDS = 16


@dataclass(frozen=True, slots=True)
class RecentStatistics:
    """How much is remembered."""

    bytes: int = 0
    """Estimated."""
    rounds: int = 0
    evicted: int = 0
    """Rounds forgotten because the limit was reached; who is further behind reads the log."""


class RecentChanges:
    """The bound on what all backlogs of this process hold together; the oldest round goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._evicted = 0
        # Oldest first over all schools, hence also within each.
        self._rounds: OrderedDict[tuple[int, int], tuple[Backlog, int]] = OrderedDict()

    def statistics(self) -> RecentStatistics:
        """A snapshot of the counters."""
        return RecentStatistics(self._bytes, len(self._rounds), self._evicted)

    def added(self, backlog: "Backlog", news: Round) -> None:
        """Count a round in, and evict the oldest ones while all together are over the limit."""
        cost = _CHANGE_COST * len(news.changes)
        self._rounds[id(backlog), news.first] = backlog, cost
        self._bytes += cost
        while self._bytes > self._limit:
            _, (oldest, freed) = self._rounds.popitem(last=False)
            self._bytes -= freed
            self._evicted += 1
            oldest.forget_oldest()

    def has_room(self, news: Round) -> bool:
        """Whether a round fits without another one's having to go."""
        return self._bytes + _CHANGE_COST * len(news.changes) <= self._limit

    def added_before(self, backlog: "Backlog", news: Round) -> None:
        """As :meth:`added`, for a round that is older than all others of its backlog, and so the first to go."""
        self.added(backlog, news)
        if (key := (id(backlog), news.first)) in self._rounds:
            self._rounds.move_to_end(key, last=False)

    def removed(self, backlog: "Backlog", news: Round) -> None:
        """Count a round out that its backlog has dropped."""
        _, freed = self._rounds.pop((id(backlog), news.first))
        self._bytes -= freed


class Backlog:
    """The newest rounds of one school, without a hole between them."""

    def __init__(self, recent: RecentChanges) -> None:
        self._recent = recent
        self._rounds: deque[Round] = deque()

    def append(self, news: Round) -> None:
        """Remember the round that follows the last one."""
        self._rounds.append(news)
        self._recent.added(self, news)

    def prepend(self, news: Round) -> None:
        """Remember a round that was read back from the log: it precedes the first one."""
        if not self._recent.has_room(news):
            return
        self._rounds.appendleft(news)
        self._recent.added_before(self, news)

    @property
    def first(self) -> int | None:
        """The lowest version that is remembered; None while none is."""
        return self._rounds[0].first if self._rounds else None

    def find(self, version: int) -> Change | None:
        """The change with this version, if it is remembered."""
        if not self._rounds or not self._rounds[0].first <= version <= self._rounds[-1].last:
            return None
        news = next(iter(self._rounds_after(version - 1)))
        return news.changes[version - news.first]

    def timestamp_of(self, version: int) -> Moment | None:
        """Of the change with this version, if it is remembered, or the one before them and known."""
        if change := self.find(version):
            return change.timestamp
        return self._rounds[0].before if self._rounds and version == self._rounds[0].first - 1 else None

    def after(self, version: int, limit: int | None = None) -> list[Change] | None:
        """The changes after this version, at most ``limit`` of them, or None if some of them are forgotten."""
        if not self._rounds or self._rounds[0].first > version + 1:
            return None
        found: list[Change] = []
        for news in self._rounds_after(version):
            found += news.changes if news.first > version else news.changes[version + 1 - news.first :]
            if limit is not None and len(found) >= limit:
                return found[:limit]
        return found

    def _rounds_after(self, version: int) -> Iterable[Round]:
        # Mostly the last few are asked for, and there may be 100,000: a deque is walked from its nearer end.
        newest = []
        for news in islice(reversed(self._rounds), _FEW_ROUNDS):
            newest.append(news)
            if news.first <= version + 1:
                return reversed(newest)
        start = max(0, bisect_right(self._rounds, version + 1, key=lambda each: each.first) - 1)
        return islice(self._rounds, start, None)

    def forget_oldest(self) -> None:
        """Drop the oldest round; whoever limits the memory has counted it out."""
        self._rounds.popleft()

    def clear(self) -> None:
        """Drop everything."""
        while self._rounds:
            self._recent.removed(self, self._rounds.popleft())
