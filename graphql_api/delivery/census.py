"""What is being served right now: counted in, and counted out however it ends."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

__all__ = ["Census", "DeliveryStatistics", "Served"]


class Served(Enum):
    """What can be counted."""

    GRAPHQL_SOCKET = "graphql_sockets"
    PLAIN_SOCKET = "plain_sockets"
    EVENT_STREAM = "event_streams"
    MULTIPART = "multiparts"
    OPERATION = "operations"
    """Operations under way on GraphQL sockets."""


@dataclass(frozen=True, slots=True)
class DeliveryStatistics:
    """How much is being served right now."""

    graphql_sockets: int
    plain_sockets: int
    event_streams: int
    multiparts: int
    operations: int


class Census:
    """Counts what is being served."""

    def __init__(self) -> None:
        self._counts: Counter[Served] = Counter()

    @contextmanager
    def counting(self, served: Served) -> Iterator[None]:
        """Count one in while the context lasts."""
        self.enter(served)
        try:
            yield
        finally:
            self.leave(served)

    def enter(self, served: Served) -> None:
        """Count one in, until :meth:`leave`."""
        self._counts[served] += 1

    def leave(self, served: Served) -> None:
        """Count one out."""
        self._counts[served] -= 1

    def statistics(self) -> DeliveryStatistics:
        """A snapshot of the counts."""
        return DeliveryStatistics(**{served.value: self._counts[served] for served in Served})
