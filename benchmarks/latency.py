"""Latency: from the moment a publish is sent to the moment its event has been read from a subscriber's socket.

Ten events a second are published one by one; each delivery is a sample. The load reads all sockets in one thread, so
the last one of a fan-out has waited for the load as well as for the server.
"""

import statistics
import time
from array import array
from collections.abc import Iterator

from benchmarks.context import Context
from benchmarks.crowd import crowd_of
from benchmarks.documents import EVENTS
from benchmarks.measurement import Measurement, measured
from benchmarks.publisher import Publisher
from benchmarks.rounds import Story, join
from benchmarks.server import device_status

__all__ = ["case", "run"]

_PERIOD = 0.1
# Events a repetition, for each second that a throughput would be looked at.
_EVENTS_PER_SECOND = 10


def run(context: Context) -> Iterator[Measurement]:
    """Each crowd."""
    for subscribers in context.effort.crowds:
        yield from _latency(context, subscribers)


def case(percentile: int, subscribers: int) -> str:
    """What a figure is of."""
    return f"publish to socket, p{percentile}, {subscribers:,} subscribers, 10 events/s"


def _latency(context: Context, subscribers: int) -> Iterator[Measurement]:
    events = max(5, round(_EVENTS_PER_SECOND * context.effort.seconds))
    samples: dict[int, list[float]] = {50: [], 99: []}
    story = Story()
    with device_status(context.cores) as server, crowd_of(server) as crowd:
        publisher = Publisher(crowd.load, server.address, path=server.path, token=server.token("checker"))
        join(crowd, publisher, subscribers, EVENTS, story)
        for _ in range(context.effort.repeats):
            waits: list[float] = []
            crowd.forget_counts()
            for number in range(events):
                crowd.arrivals = array("d")
                due = time.perf_counter() + _PERIOD
                body = story.single()
                sent = time.perf_counter()
                publisher.call(body)
                crowd.await_deliveries(subscribers * (number + 1))
                waits += [1000 * (moment - sent) for moment in crowd.arrivals]
                crowd.load.run_for(due - time.perf_counter())
            crowd.check(events)
            percentiles = statistics.quantiles(waits, n=100)
            for percentile, found in samples.items():
                found.append(percentiles[percentile - 1])
        publisher.close()
    for percentile, found in samples.items():
        yield measured("latency", case(percentile, subscribers), server.name, "ms", found)
