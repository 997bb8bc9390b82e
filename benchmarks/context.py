"""What a benchmark is given."""

import sys
from dataclasses import dataclass, field

from benchmarks.effort import Effort
from benchmarks.machine import Cores

__all__ = ["Context"]


@dataclass(frozen=True, slots=True)
class Context:
    """Where and how much is measured, and what is to be told beside the figures."""

    cores: Cores
    effort: Effort
    left_out: list[str] = field(default_factory=list)

    def leave_out(self, sentence: str) -> None:
        """Something can't be measured here: say so now, and in the results."""
        if sentence not in self.left_out:
            self.left_out.append(sentence)
            sys.stderr.write(f"{sentence}\n")
