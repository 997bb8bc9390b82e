"""How much of a benchmark is run."""

from dataclasses import dataclass

__all__ = ["FULL", "QUICK", "Effort"]


@dataclass(frozen=True, slots=True)
class Effort:
    """The sizes of a run."""

    quick: bool
    crowds: tuple[int, ...]
    """Subscribers of a fan-out: the first number for the peers, too."""
    idle: int
    """Subscribed connections whose memory is measured."""
    storm: int
    """Clients that reconnect at once."""
    filtered: tuple[int, ...]
    """Subscribers with a filter each."""
    round_size: int
    """Reports of a big round that is published."""
    seconds: float
    """That a throughput is looked at, at least, and at least for two rounds."""
    repeats: int
    """Of which the median is taken."""


FULL = Effort(
    quick=False,
    crowds=(1_000, 5_000),
    idle=5_000,
    storm=10_000,
    filtered=(200, 2_000),
    round_size=1_000,
    seconds=2.0,
    repeats=5,
)
QUICK = Effort(
    quick=True,
    crowds=(20,),
    idle=20,
    storm=20,
    filtered=(5, 20),
    round_size=20,
    seconds=0.1,
    repeats=1,
)
