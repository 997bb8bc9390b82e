"""``python -m benchmarks``: run benchmarks, print a table, and write the figures as JSON."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import connects, fanout, filters, latency, memory, pauses, publishing, storm
from benchmarks.context import Context
from benchmarks.effort import FULL, QUICK
from benchmarks.failure import BenchmarkFailed
from benchmarks.machine import Cores, describe, raise_file_limit
from benchmarks.measurement import Measurement, Results
from benchmarks.tables import figure, page

BENCHMARKS: dict[str, Callable[[Context], Iterator[Measurement]]] = {
    "fanout": fanout.run,
    "filters": filters.run,
    "memory": memory.run,
    "connects": connects.run,
    "storm": storm.run,
    "publish": publishing.run,
    "latency": latency.run,
    "pauses": pauses.run,
}


def main() -> int:
    """Run; 1 when a benchmark has failed."""
    arguments = _arguments()
    cores = Cores.of_this_process()
    cores.pin_load()
    raise_file_limit()
    context = Context(cores, QUICK if arguments.quick else FULL)
    measurements: list[Measurement] = []
    failed = False
    for name in arguments.names or BENCHMARKS:
        try:
            for one in BENCHMARKS[name](context):
                measurements.append(one)
                sys.stderr.write(f"{_line(one)}\n")
        except (BenchmarkFailed, OSError) as failure:
            failed = True
            context.leave_out(f"{name} has failed: {failure}")
    results = Results(
        datetime.now(UTC).isoformat(timespec="seconds"),
        describe(),
        arguments.quick,
        tuple(measurements),
        tuple(context.left_out),
    )
    sys.stdout.write(f"{page(results)}\n")
    if arguments.output:
        arguments.output.write_text(json.dumps(results.to_json(), indent=1) + "\n")
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the service and its peers.")
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], help="all of them unless named")
    parser.add_argument("--quick", action="store_true", help="a run of seconds that shows that the benchmarks work")
    parser.add_argument("--output", type=Path, help="write the figures to this file, as JSON")
    return parser.parse_args()


def _line(one: Measurement) -> str:
    shares = [
        f"{who} {share:.0%}" for who, share in (("server", one.server_cpu), ("load", one.load_cpu)) if share is not None
    ]
    busy = f" ({', '.join(shares)})" if shares else ""
    if one.per_busy_second:
        busy += f", {figure(one.per_busy_second)} per busy second"
    value = f"{figure(one.value)} {one.unit}{busy}, load average {one.load_average:.1f}"
    return f"{one.benchmark}: {one.case}: {one.server}: {value}"


if __name__ == "__main__":
    sys.exit(main())
