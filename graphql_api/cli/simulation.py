"""The school of the demonstration: devices that fail and recover. No I/O, no clock."""

from collections.abc import Mapping
from random import Random

from graphql_api.devices.model import Status

__all__ = ["SimulatedSchool"]

_DEVICES = {"board": 24, "reader": 16, "terminal": 12, "ap": 8}

_BECOMES: Mapping[Status, Mapping[Status, float]] = {
    Status.ONLINE: {Status.DEGRADED: 0.010, Status.OFFLINE: 0.006, Status.MAINTENANCE: 0.002, Status.UNKNOWN: 0.001},
    Status.DEGRADED: {Status.ONLINE: 0.15, Status.OFFLINE: 0.06},
    Status.OFFLINE: {Status.ONLINE: 0.12, Status.MAINTENANCE: 0.03},
    Status.MAINTENANCE: {Status.ONLINE: 0.10},
    Status.UNKNOWN: {Status.ONLINE: 0.30, Status.OFFLINE: 0.10},
}
"""From one round to the next: how likely a status becomes another one."""

_SETTLING = 40
"""Rounds that have passed when the first one is told: some devices are in trouble by then."""


class SimulatedSchool:
    """60 devices, most of them fine."""

    def __init__(self, random: Random) -> None:
        self._random = random
        names = [f"{kind}-{number}" for kind, count in _DEVICES.items() for number in range(1, count + 1)]
        self._statuses = dict.fromkeys(names, Status.ONLINE)
        for _ in range(_SETTLING):
            self._pass_time()

    def statuses(self) -> dict[str, Status]:
        """All devices as they stand."""
        return dict(self._statuses)

    def next_round(self) -> dict[str, Status]:
        """All devices, of which at least one and mostly a few are not as before."""
        before = self.statuses()
        while self._statuses == before:
            self._pass_time()
        return self.statuses()

    def _pass_time(self) -> None:
        for device, status in self._statuses.items():
            self._statuses[device] = self._next(status)

    def _next(self, status: Status) -> Status:
        chance = self._random.random()
        for other, likelihood in _BECOMES[status].items():
            chance -= likelihood
            if chance < 0:
                return other
        return status
