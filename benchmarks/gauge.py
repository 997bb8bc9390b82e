"""Time and computing between two moments, of the server and of the load."""

import time

from benchmarks.machine import cpu_seconds

__all__ = ["Gauge"]


class Gauge:
    """Begins when it is made."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._server = cpu_seconds(pid)
        self._load = time.process_time()
        self._began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self._began

    @property
    def server_seconds(self) -> float:
        """What the server has computed since."""
        return cpu_seconds(self._pid) - self._server

    def shares(self) -> tuple[float, float]:
        """The share of that time in which the server, and the load, were computing."""
        seconds = self.seconds
        return self.server_seconds / seconds, (time.process_time() - self._load) / seconds
