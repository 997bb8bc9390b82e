"""Many subscribers of one server, and what all of them together have got."""

import gc
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from benchmarks.failure import BenchmarkFailed
from benchmarks.load import Load
from benchmarks.server import Server
from benchmarks.subscriber import RawSubscriber, Subscriber

__all__ = ["CONCURRENCY", "Crowd", "crowd_of"]

# Connections that are being made at a time.
CONCURRENCY = 64


class Crowd:
    """Subscribers whose deliveries are counted together, and checked one by one."""

    def __init__(self, load: Load, server: Server) -> None:
        self.load = load
        self.server = server
        self.members: list[Subscriber | RawSubscriber] = []
        self.delivered = 0
        self.arrivals: array[float] | None = None
        """When set, the moment of each read that brought something, by :func:`time.perf_counter`."""
        self._live = 0

    def connect(
        self,
        inits: Sequence[Mapping[str, Any]],
        subscribe: Callable[[int], bytes],
        *,
        concurrency: int = CONCURRENCY,
        timeout: float = 120,
    ) -> None:
        """Connect a subscriber for each payload of ``connection_init``, until all are live.

        The first one of all keeps what it gets, so that it can be looked into.
        """
        self._live, expected = 0, len(inits)
        waiting = iter(enumerate(inits, len(self.members)))

        def start_next() -> None:
            if (found := next(waiting, None)) is not None:
                number, init = found
                self.members.append(self._subscriber(init, subscribe(number), on_live, keep=number == 0))

        def on_live(_: Subscriber) -> None:
            self._live += 1
            start_next()

        for _ in range(concurrency):
            start_next()
        self.load.run_until(
            lambda: self._live == expected, timeout=timeout, waiting_for=f"{expected} live subscriptions"
        )

    def connect_raw(self, number: int) -> None:
        """Connect sockets to a server that sends without having been asked."""
        for _ in range(number):
            self.members.append(RawSubscriber(self.load, self.server.address, self._count))

    def await_deliveries(self, total: int, *, timeout: float = 60) -> None:
        """Read until so many ``next`` messages have come in all."""
        self.load.run_until(
            lambda: self.delivered >= total, timeout=timeout, waiting_for=f"{total - self.delivered} deliveries"
        )

    def check(self, each: int, *, alike: bool = True) -> None:
        """See that every member has got as many ``next`` messages as this; alike: in the very same number of bytes.

        Raises:
            BenchmarkFailed: a delivery is missing, or is one too many.
        """
        counts = Counter(member.frames.nexts for member in self.members)
        if set(counts) != {each}:
            raise BenchmarkFailed(
                f"expected {each} deliveries for everyone, but got (deliveries: connections) {counts}"
            )
        sizes = {member.frames.next_bytes for member in self.members}
        if (alike and len(sizes) > 1) or not all(member.frames.is_between_frames for member in self.members):
            raise BenchmarkFailed(f"expected the same bytes for everyone, but got {sorted(sizes)}")

    def kept(self) -> list[bytes]:
        """The payloads that the first member has got since this was asked last."""
        frames = self.members[0].frames
        kept = frames.kept or []
        if kept:
            frames.kept = []
        return kept

    def forget_counts(self) -> None:
        """Count from 0 again."""
        self.delivered = 0
        for member in self.members:
            member.frames.nexts = member.frames.next_bytes = 0
        self.kept()

    def abort(self) -> None:
        """Let all vanish without a word."""
        for member in self.members:
            self.load.remove(member)
            member.abort()
        self.members.clear()
        self.delivered = 0

    def _subscriber(
        self, init: Mapping[str, Any], subscribe: bytes, on_live: Callable[[Subscriber], None], *, keep: bool
    ) -> Subscriber:
        return Subscriber(
            self.load,
            self.server.address,
            path=self.server.path,
            init=init,
            subscribe=subscribe,
            tells_live=self.server.tells_live,
            on_live=on_live,
            on_count=self._count,
            keep=keep,
        )

    def _count(self, count: int) -> None:
        self.delivered += count
        if self.arrivals is not None:
            self.arrivals.append(perf_counter())


@contextmanager
def crowd_of(server: Server) -> Iterator[Crowd]:
    """A crowd that vanishes with the context."""
    load = Load()
    crowd = Crowd(load, server)
    # The load's own collections of garbage would be taken for the server's pauses.
    gc.collect()
    gc.disable()
    try:
        yield crowd
    finally:
        gc.enable()
        crowd.abort()
        load.close()
