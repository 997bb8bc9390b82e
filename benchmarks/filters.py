"""Filters: what an event costs the server when everyone waits for a device of their own.

An event is published for one device after the other, and each must reach the one subscriber who asked for it.
"""

import math
from collections.abc import Iterator

from benchmarks.context import Context
from benchmarks.crowd import crowd_of
from benchmarks.documents import EVENTS, device_id, publish_single, subscribe_frame
from benchmarks.gauge import Gauge
from benchmarks.measurement import Measurement, measured
from benchmarks.publisher import Publisher
from benchmarks.server import device_status

__all__ = ["case", "run"]

# Events a repetition, for each second that a throughput would be looked at.
_EVENTS_PER_SECOND = 150


def run(context: Context) -> Iterator[Measurement]:
    """Few subscribers and many."""
    for subscribers in context.effort.filtered:
        yield _filters(context, subscribers)


def case(subscribers: int) -> str:
    """What a figure is of."""
    return f"CPU per event, {subscribers:,} subscribers with a device each, publish included"


def _filters(context: Context, subscribers: int) -> Measurement:
    # The same number for everyone, so that each device's next status is another one in the next repetition, too.
    turns = math.ceil(_EVENTS_PER_SECOND * context.effort.seconds / subscribers)
    events = turns * subscribers
    with device_status(context.cores) as server, crowd_of(server) as crowd:
        publisher = Publisher(crowd.load, server.address, path=server.path, token=server.token("checker"))
        crowd.connect(
            [{"authorization": f"Bearer {server.token(f'user-{index}')}"} for index in range(subscribers)],
            lambda index: subscribe_frame(EVENTS, [device_id(index)]),
        )
        samples, shares, turn = [], [], 0
        for _ in range(context.effort.repeats):
            crowd.forget_counts()
            gauge = Gauge(server.pid)
            for number in range(events):
                # Each time that a device's turn comes again it has another status.
                publisher.call(publish_single(number % subscribers, turn + number // subscribers))
                crowd.await_deliveries(number + 1)
            samples.append(1000 * gauge.server_seconds / events)
            shares.append(gauge.shares())
            turn += turns
            crowd.check(turns, alike=False)
        publisher.close()
    server_cpu, load_cpu = zip(*shares, strict=True)
    return measured("filters", case(subscribers), server.name, "ms", samples, server_cpu=server_cpu, load_cpu=load_cpu)
