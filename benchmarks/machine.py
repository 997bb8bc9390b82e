"""What the machine has: cores for the server and for the load, open files, and what a process has used."""

import os
import platform
import resource
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Cores", "cpu_seconds", "describe", "raise_file_limit", "resident_bytes"]


@dataclass(frozen=True, slots=True)
class Cores:
    """One core for the server, another one for the load; on a machine with one core both are the same."""

    server: int
    load: int

    @classmethod
    def of_this_process(cls) -> "Cores":
        """The first and the last core that this process may use."""
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[-1])

    @property
    def shared(self) -> bool:
        """Whether server and load have to share one core, so that figures say less."""
        return self.server == self.load

    def pin_load(self) -> None:
        """Keep this process, and what it starts from now on, on the load's core."""
        os.sched_setaffinity(0, {self.load})

    @property
    def for_server(self) -> Callable[[], None]:
        """What a server process is to call before anything else."""
        core = self.server
        return lambda: os.sched_setaffinity(0, {core})


def raise_file_limit() -> int:
    """Allow this process and its children as many open files as the system lets them have; how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cpu_seconds(pid: int) -> float:
    """What the threads of a process have computed so far, in user and kernel mode.

    To the nanosecond, where /proc/PID/stat has hundredths of a second; threads that have ended are left out, of which
    servers have none while they serve.
    """
    spent = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            spent += int((thread / "schedstat").read_text().split()[0])
    return spent / 1e9


def resident_bytes(pid: int) -> int:
    """The memory of a process that is in use (RSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Rss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"expected a line 'Rss:' in the smaps_rollup of process {pid}, but there is none")


def describe() -> dict[str, str]:
    """The machine in a few words, for the results."""
    return {
        "python": platform.python_version(),
        "kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
