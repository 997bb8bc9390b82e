"""Rounds recorded at the store itself, as fast as it takes them: ``python -m benchmarks.recording URL SIZE SECONDS``.

Prints the statuses recorded a second, and the share of its core that this process was busy. Every report of a round
changes its device's status; the school is a new one.
"""

import asyncio
import secrets
import sys
import time

from benchmarks.documents import device_id
from benchmarks.failure import BenchmarkFailed
from graphql_api.devices.model import Report, Status
from graphql_api.devices.store import Store

__all__ = ["main", "record_for"]

_STATUSES = (Status.ONLINE, Status.OFFLINE)


async def record_for(url: str, size: int, seconds: float) -> tuple[float, float]:
    """Record rounds of this size for so long, two at least: statuses a second, and the share of the core used."""
    store = await Store.open(url)
    try:
        school = secrets.token_hex(8)
        await _record(store, school, size, 0)
        began, computed, turn = time.perf_counter(), time.process_time(), 0
        while turn < 2 or time.perf_counter() - began < seconds:  # noqa: PLR2004 - one of each status
            turn += 1
            await _record(store, school, size, turn)
        elapsed = time.perf_counter() - began
        return turn * size / elapsed, (time.process_time() - computed) / elapsed
    finally:
        await store.close()


async def _record(store: Store, school: str, size: int, turn: int) -> None:
    status = _STATUSES[turn % 2]
    recorded = await store.record(school, [(number, Report(device_id(number), status)) for number in range(size)])
    if recorded.changed != size:
        raise BenchmarkFailed(f"expected {size} changes, but {recorded.changed} were recorded")


def main() -> None:
    """Record, and print."""
    url, size, seconds = sys.argv[1:]
    rate, busy = asyncio.run(record_for(url, int(size), float(seconds)))
    sys.stdout.write(f"{rate} {busy}\n")


if __name__ == "__main__":
    main()
