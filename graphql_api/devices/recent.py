"""Recent changes in memory: rounds that streams catch up from without asking the store. No I/O."""

from collections import OrderedDict, deque
from dataclasses import dataclass

from graphql_api.devices.model import Round

__all__ = ["Backlog", "RecentChanges", "RecentStatistics"]

# What a change costs in memory: the object, its integers, and its device id, roughly.
_CHANGE_COST = 400


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

    def after(self, version: int) -> list[Round] | None:
        """All rounds with changes after this version, or None if some of them are forgotten.

        The first round may hold changes up to ``version`` too.
        """
        if not self._rounds or self._rounds[0].first > version + 1:
            return None
        found: deque[Round] = deque()
        # From the newest: who is live wants the last round or two of many.
        for news in reversed(self._rounds):
            if news.last <= version:
                break
            found.appendleft(news)
        return list(found)

    def forget_oldest(self) -> None:
        """Drop the oldest round; whoever limits the memory has counted it out."""
        self._rounds.popleft()

    def clear(self) -> None:
        """Drop everything."""
        while self._rounds:
            self._recent.removed(self, self._rounds.popleft())
