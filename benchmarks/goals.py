"""What the figures ought to be: at least, and what would be great."""

from dataclasses import dataclass

from benchmarks import connects, fanout, filters, latency, memory, pauses, publishing
from benchmarks.effort import FULL
from benchmarks.peers.running import GRAPHQL_WS, RAW, STOCK

__all__ = ["GOALS", "Goal"]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound of one figure of this service; or of its ratio to that of another server, or of another case."""

    benchmark: str
    case: str
    at_least: float
    great: float | None = None
    against: str | None = None
    """The server that the ratio is to."""
    against_case: str | None = None
    """The case of this service that the ratio is to."""
    less_is_better: bool = False

    def is_met(self, value: float) -> bool:
        """Whether it is good enough."""
        return value <= self.at_least if self.less_is_better else value >= self.at_least


_FEW, _MANY = FULL.crowds
_SINGLE = fanout.case(fanout.SINGLE_EVENTS, _FEW)
_ROUNDS = fanout.case(fanout.EVENTS_IN_ROUNDS, _FEW)
_FILTERS_FEW, _FILTERS_MANY = map(filters.case, FULL.filtered)

GOALS = (
    Goal("fanout", _SINGLE, 0.6, 0.75, against=RAW),
    Goal("fanout", _SINGLE, 25, against=STOCK),
    Goal("fanout", _SINGLE, 4, against=GRAPHQL_WS),
    Goal("fanout", _ROUNDS, 0.4, 0.5, against=RAW),
    Goal("fanout", _ROUNDS, 300, against=STOCK),
    Goal("fanout", _ROUNDS, 50, against=GRAPHQL_WS),
    Goal("memory", memory.case(FULL.idle), 24, 16, less_is_better=True),
    Goal("connects", connects.CASE, 1_200, 2_000),
    Goal("filters", _FILTERS_MANY, 2, 1, less_is_better=True),
    Goal("filters", _FILTERS_MANY, 1.5, against_case=_FILTERS_FEW, less_is_better=True),
    Goal("publish", publishing.case(FULL.round_size, 1, "SQLite"), 10_000),
    Goal("publish", publishing.store_case(FULL.round_size, "SQLite"), 50_000),
    Goal("latency", latency.case(99, _FEW), 15, 8, less_is_better=True),
    Goal("pauses", pauses.case(1, _MANY), 10, 4, less_is_better=True),
    Goal("pauses", pauses.case(fanout.ROUND, _MANY), 10, 4, less_is_better=True),
)
