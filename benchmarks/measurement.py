"""What was measured, and how it is kept."""

import os
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Measurement", "Results", "measured"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure of one server: the median of its samples."""

    benchmark: str
    case: str
    server: str
    unit: str
    value: float
    samples: tuple[float, ...] = field(default=())
    load_average: float = 0.0
    """Of the whole machine in the last minute, when it was measured: what else was going on."""
    server_cpu: float | None = None
    """The share of its core that the server was busy; below 1 it waited, for the load, the disk or for others."""
    load_cpu: float | None = None
    """The share of its core that the load was busy; near 1 it is the load that was measured."""

    @property
    def per_busy_second(self) -> float | None:
        """A throughput as if the server had had its core all the time: what else went on, and waits, are left out."""
        is_throughput = self.unit.endswith(("/s", "per second"))
        return self.value / self.server_cpu if self.server_cpu and is_throughput else None

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is of."""
        return (self.benchmark, self.case, self.server)


def measured(
    benchmark: str,
    case: str,
    server: str,
    unit: str,
    samples: Sequence[float],
    *,
    server_cpu: Sequence[float] = (),
    load_cpu: Sequence[float] = (),
) -> Measurement:
    """The median of the samples, of which there is at least one."""
    return Measurement(
        benchmark,
        case,
        server,
        unit,
        statistics.median(samples),
        tuple(samples),
        os.getloadavg()[0],
        statistics.median(server_cpu) if server_cpu else None,
        statistics.median(load_cpu) if load_cpu else None,
    )


@dataclass(frozen=True, slots=True)
class Results:
    """All that one run has measured, and where."""

    taken_at: str
    machine: dict[str, str]
    quick: bool
    measurements: tuple[Measurement, ...]
    left_out: tuple[str, ...] = ()
    """Sentences about what could not be measured."""

    def find(self, benchmark: str, case: str, server: str) -> Measurement | None:
        """A figure; None where it was not measured."""
        found = {one.key: one for one in self.measurements}
        return found.get((benchmark, case, server))

    def to_json(self) -> dict[str, Any]:
        """As :meth:`from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Results":
        """What :meth:`to_json` made, after a way through JSON."""
        rows: Iterable[dict[str, Any]] = data["measurements"]
        measurements = tuple(Measurement(**{**row, "samples": tuple(row["samples"])}) for row in rows)
        return cls(**{**data, "measurements": measurements, "left_out": tuple(data["left_out"])})
