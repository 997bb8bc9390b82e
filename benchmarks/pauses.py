"""Pauses: how long the server's event loop is held up at the most, while events go to many subscribers.

The service runs as ever but for a timer in its loop, which looks how late it is called, and how
long the loop computed meanwhile: see :mod:`benchmarks.probed`.
"""

import re
import signal
import sys
import time
from collections.abc import Callable, Iterator

from benchmarks.context import Context
from benchmarks.crowd import Crowd, crowd_of
from benchmarks.documents import EVENTS
from benchmarks.failure import BenchmarkFailed
from benchmarks.fanout import ROUND
from benchmarks.measurement import Measurement, measured
from benchmarks.publisher import Publisher
from benchmarks.rounds import Story, fan_out, join
from benchmarks.server import Server, device_status

__all__ = ["case", "run"]

_PAUSE = re.compile(r"^pause: ([\d.]+) ([\d.]+)$", re.MULTILINE)


def run(context: Context) -> Iterator[Measurement]:
    """Single events, and rounds, to the biggest crowd."""
    subscribers = context.effort.crowds[-1]
    story = Story()
    command = [sys.executable, "-m", "benchmarks.probed"]
    with device_status(context.cores, command=command) as server, crowd_of(server) as crowd:
        publisher = Publisher(crowd.load, server.address, path=server.path, token=server.token("checker"))
        join(crowd, publisher, subscribers, EVENTS, story)
        for size, body in ((1, story.single), (ROUND, lambda: story.round(ROUND))):
            yield from _pauses(context, crowd, publisher, size, body)
        publisher.close()


def case(size: int, subscribers: int, *, computing: bool = False) -> str:
    """What a figure is of."""
    what = "single events" if size == 1 else f"rounds of {size}"
    of = "longest computing without a breath" if computing else "longest pause of the event loop"
    return f"{of}, {what} to {subscribers:,}"


def _pauses(
    context: Context, crowd: Crowd, publisher: Publisher, size: int, body: Callable[[], bytes]
) -> Iterator[Measurement]:
    samples = []
    fan_out(crowd, publisher, iter(body, None), results=size, seconds=0, ahead=0)
    for _ in range(context.effort.repeats):
        _longest_pause(crowd.server)
        fan_out(crowd, publisher, iter(body, None), results=size, seconds=context.effort.seconds, ahead=0)
        samples.append(_longest_pause(crowd.server))
    for computing, found in enumerate(zip(*samples, strict=True)):
        of = case(size, len(crowd.members), computing=bool(computing))
        yield measured("pauses", of, crowd.server.name, "ms", [1000 * seconds for seconds in found])


def _longest_pause(server: Server) -> tuple[float, float]:
    """The longest pause since this was asked last, and the longest computing without one; in seconds."""
    told = len(_PAUSE.findall(server.log.read_text()))
    server.process.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if len(found := _PAUSE.findall(server.log.read_text())) > told:
            pause, computed = found[-1]
            return float(pause), float(computed)
        time.sleep(0.01)
    raise BenchmarkFailed("expected the probe to tell the longest pause within 10 s")
