"""Publishing: statuses recorded a second, one a call and in rounds of 1,000, through GraphQL and at the store itself.

Every report changes a status, which is the dearest case. Several publishers are health checkers of a school each, and
each publishes its next call as soon as the one before has been answered. Nobody listens.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from benchmarks.context import Context
from benchmarks.databases import DATABASES, database
from benchmarks.documents import publish_round, publish_single
from benchmarks.failure import BenchmarkFailed, PeerMissing
from benchmarks.gauge import Gauge
from benchmarks.load import Load
from benchmarks.measurement import Measurement, measured
from benchmarks.publisher import Publisher
from benchmarks.server import DEVICE_STATUS, Server, device_status, environment

__all__ = ["FEW", "MANY", "case", "run", "store_case"]

FEW, MANY = 4, 32
"""Health checkers that publish rounds, and single statuses, at once."""

_NAME = "publish"
_UNIT = "statuses/s"

Body = Callable[[int], bytes]


def run(context: Context) -> Iterator[Measurement]:
    """Each database, each way."""
    size = context.effort.round_size
    bodies = [publish_round(size, turn) for turn in (0, 1)]

    def rounds(turn: int) -> bytes:
        return bodies[turn % 2]

    for name in DATABASES:
        try:
            with database(name) as url:
                for each in (1, size):
                    yield _at_the_store(context, name, url, each)
            with database(name) as url, device_status(context.cores, database_url=url) as server:
                for publishers in (1, MANY):
                    yield _through_graphql(context, server, name, publishers, 1, partial(publish_single, 0))
                for publishers in (1, FEW):
                    yield _through_graphql(context, server, name, publishers, size, rounds)
        except PeerMissing as missing:
            context.leave_out(str(missing))


def case(size: int, publishers: int, database_name: str) -> str:
    """What a figure is of."""
    what = "single" if size == 1 else f"rounds of {size:,}"
    who = "1 publisher" if publishers == 1 else f"{publishers} publishers"
    return f"through GraphQL, {what}, {who}, {database_name}"


def store_case(size: int, database_name: str) -> str:
    """What a figure is of."""
    return f"at the store, {'single' if size == 1 else f'rounds of {size:,}'}, {database_name}"


def _at_the_store(context: Context, name: str, url: str, size: int) -> Measurement:
    command = [sys.executable, "-m", "benchmarks.recording", url, str(size), str(context.effort.seconds)]
    samples = []
    for _ in range(context.effort.repeats):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment(),
            preexec_fn=context.cores.for_server,
            check=False,
        )
        if done.returncode:
            raise BenchmarkFailed(f"expected rounds to be recorded at the store, but: {done.stderr}")
        samples.append([float(word) for word in done.stdout.split()])
    rates, shares = zip(*samples, strict=True)
    return measured(_NAME, store_case(size, name), DEVICE_STATUS, _UNIT, rates, server_cpu=shares)


def _through_graphql(
    context: Context, server: Server, name: str, publishers: int, size: int, body: Body
) -> Measurement:
    load = Load()
    checkers = [
        # Schools of their own: what is measured first must not have touched their devices.
        Publisher(
            load, server.address, path=server.path, token=server.token("checker", f"{size}-{publishers}-{number}")
        )
        for number in range(publishers)
    ]
    for checker in checkers:
        # The first round makes the devices; a server's first call of all takes long.
        checker.call(body(checker.answered))
    samples, shares = [], []
    for _ in range(context.effort.repeats):
        gauge, before = Gauge(server.pid), sum(checker.changed for checker in checkers)
        _publish_for(load, checkers, body, gauge, context.effort.seconds)
        samples.append((sum(checker.changed for checker in checkers) - before) / gauge.seconds)
        shares.append(gauge.shares())
    if any(checker.changed != size * checker.answered for checker in checkers):
        raise BenchmarkFailed(f"expected every call to change {size} statuses, but some have changed others")
    for checker in checkers:
        checker.close()
    load.close()
    server_cpu, load_cpu = zip(*shares, strict=True)
    return measured(
        _NAME, case(size, publishers, name), server.name, _UNIT, samples, server_cpu=server_cpu, load_cpu=load_cpu
    )


def _publish_for(load: Load, checkers: Sequence[Publisher], body: Body, gauge: Gauge, seconds: float) -> None:
    """Have each publish one call after the other for so long, at least one, and wait for all answers."""
    sent = [checker.answered for checker in checkers]

    def go_on() -> bool:
        for index, checker in enumerate(checkers):
            if checker.answered == sent[index] and (gauge.seconds < seconds or not began):
                checker.send(body(sent[index]))
                sent[index] += 1
        return gauge.seconds >= seconds and all(
            checker.answered == wanted for checker, wanted in zip(checkers, sent, strict=True)
        )

    began = False
    go_on()
    began = True
    load.run_until(go_on, timeout=seconds + 60, waiting_for="the answers to all publishes")
