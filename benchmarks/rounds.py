"""Rounds of changes to a crowd, one after the other as fast as they arrive."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from benchmarks.crowd import Crowd
from benchmarks.documents import publish_round, publish_single, subscribe_frame
from benchmarks.effort import Effort
from benchmarks.failure import BenchmarkFailed
from benchmarks.gauge import Gauge
from benchmarks.publisher import Publisher

__all__ = ["Burst", "Sender", "Story", "bursts", "fan_out", "join", "settle"]

# Seconds: a stock server takes ten for a round of 50 to 1,000.
_TIMEOUT = 120.0

# Rounds of a burst: one of each status.
_FEWEST = 2

# Events that are tried until everyone gets them, and seconds without a delivery, after which none is expected any more.
_ATTEMPTS = 10

# How many times longer than planned all bursts together may take until no other one is begun.
_PATIENCE = 2
_QUIET = 0.2


class Sender(Protocol):
    """Whoever sets a round off."""

    answered: int

    def send(self, body: bytes) -> None:
        """Set it off; counts in ``answered`` when that has been done."""


@dataclass(frozen=True, slots=True)
class Burst:
    """What came of some rounds."""

    rounds: int
    rate: float
    """Deliveries a second."""
    server_cpu: float
    load_cpu: float


@dataclass(slots=True)
class Story:
    """The rounds of one school, each of which changes the status of its every device: the first ``size`` ones."""

    turn: int = 0

    def single(self) -> bytes:
        """The next round: one device."""
        self.turn += 1
        return publish_single(0, self.turn)

    def round(self, size: int) -> bytes:
        """The next round of several devices."""
        self.turn += 1
        return publish_round(size, self.turn)


def join(crowd: Crowd, publisher: Publisher, number: int, document: str, story: Story) -> None:
    """Subscribe so many, and see by events that all of them are."""
    frame = subscribe_frame(document)
    inits = [{"authorization": f"Bearer {crowd.server.token(f'user-{index}')}"} for index in range(number)]
    crowd.connect(inits, lambda _: frame)
    # Servers that do not tell when a subscription is live may begin it later: an event that each has got shows it.
    for attempt in range(1, _ATTEMPTS + 1):
        crowd.forget_counts()
        publisher.call(story.single())
        crowd.load.run_for(attempt, unless=lambda: crowd.delivered >= number)
        settle(crowd, seconds=_QUIET * attempt)
        if all(member.frames.nexts == 1 for member in crowd.members):
            return
    raise BenchmarkFailed(
        f"expected each of {number} subscribers to get an event once, but {crowd.delivered} have come"
    )


def bursts(effort: Effort, burst: Callable[[], Burst]) -> list[Burst]:
    """As many as are wanted; fewer, but one at least, where they take far longer than they ought to."""
    found: list[Burst] = []
    deadline = time.monotonic() + _PATIENCE * effort.repeats * effort.seconds
    while not found or (len(found) < effort.repeats and time.monotonic() < deadline):
        found.append(burst())
    return found


def settle(crowd: Crowd, *, seconds: float = _QUIET) -> None:
    """Read until nothing has come for so long."""
    before = -1
    while before != crowd.delivered:
        before = crowd.delivered
        crowd.load.run_for(seconds)


def fan_out(
    crowd: Crowd,
    sender: Sender,
    bodies: Iterator[bytes],
    *,
    results: int,
    seconds: float,
    ahead: int = 1,
    timeout: float = _TIMEOUT,
) -> Burst:
    """Set rounds off for a while, at least two of them, and wait until all have arrived.

    Args:
        crowd: who gets them; its counts begin anew.
        sender: who sets them off.
        bodies: what it sends for each.
        results: how many ``next`` messages a round is for each member.
        seconds: after which no more is sent.
        ahead: rounds that may be under way when the next one is set off.
        timeout: seconds, after which a round that has not arrived has failed.

    Raises:
        BenchmarkFailed: a delivery is missing, or is one too many.
    """
    crowd.forget_counts()
    each, answered = results * len(crowd.members), sender.answered

    def may_go_on() -> bool:
        return sender.answered >= answered + rounds and crowd.delivered >= (rounds - ahead) * each

    gauge, rounds = Gauge(crowd.server.pid), 0
    while rounds < _FEWEST or gauge.seconds < seconds:
        sender.send(next(bodies))
        rounds += 1
        crowd.load.run_until(may_go_on, timeout=timeout, waiting_for=f"round {rounds}")
    crowd.await_deliveries(rounds * each, timeout=timeout)
    elapsed = gauge.seconds
    server_cpu, load_cpu = gauge.shares()
    crowd.check(rounds * results)
    return Burst(rounds, rounds * each / elapsed, server_cpu, load_cpu)
