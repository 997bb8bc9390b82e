"""Fan-out: deliveries a second, of events one by one and in rounds of 50, and of lists that are kept up to date.

The next round is published when the one before has been answered, and all before that one have arrived. So the server
has work all the time, and never more than one round waits for its turn.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.context import Context
from benchmarks.crowd import Crowd, crowd_of
from benchmarks.documents import DEVICES, EVENTS, device_id
from benchmarks.failure import BenchmarkFailed, PeerMissing
from benchmarks.frames import server_frame
from benchmarks.measurement import Measurement, measured
from benchmarks.peers.running import PEERS, raw_sender
from benchmarks.publisher import Publisher, RawPublisher
from benchmarks.rounds import Burst, Story, bursts, fan_out, join, settle
from benchmarks.server import Server, device_status

__all__ = ["EVENTS_IN_ROUNDS", "ROUND", "SINGLE_EVENTS", "STATE", "run"]

ROUND = 50
"""Changes of a round."""

SINGLE_EVENTS = "single events"
EVENTS_IN_ROUNDS = f"events in rounds of {ROUND}"
STATE = f"lists, rounds of {ROUND}"

_NAME = "fanout"
_UNIT = "deliveries/s"


def run(context: Context) -> Iterator[Measurement]:
    """Each kind at each size: this service and the raw limit; at the smallest size the others, too."""
    smallest = context.effort.crowds[0]
    for subscribers in context.effort.crowds:
        with device_status(context.cores) as server:
            found, frames = _events(context, server, subscribers)
            yield from found
        with device_status(context.cores) as server:
            yield _state(context, server, subscribers)
        for kind, data in frames.items():
            yield _raw(context, kind, subscribers, data)
        if subscribers == smallest:
            yield from _peers(context, subscribers)


def case(kind: str, subscribers: int) -> str:
    """What a figure is of."""
    return f"{kind}, {subscribers:,} subscribers"


def _peers(context: Context, subscribers: int) -> Iterator[Measurement]:
    for start in PEERS.values():
        try:
            with start(context.cores) as server:
                found, _ = _events(context, server, subscribers)
                yield from found
        except PeerMissing as missing:
            context.leave_out(str(missing))


def _events(context: Context, server: Server, subscribers: int) -> tuple[list[Measurement], dict[str, bytes]]:
    """Both figures of events, and for each the bytes that one subscriber gets of one round."""
    found, frames, story = [], {}, Story()
    with crowd_of(server) as crowd:
        publisher = Publisher(crowd.load, server.address, path=server.path, token=server.token("checker"))
        join(crowd, publisher, subscribers, EVENTS, story)
        for kind, size, body in (
            (SINGLE_EVENTS, 1, story.single),
            (EVENTS_IN_ROUNDS, ROUND, lambda: story.round(ROUND)),
        ):
            crowd.forget_counts()
            publisher.call(body())
            crowd.await_deliveries(size * subscribers)
            frames[kind] = b"".join(server_frame(payload) for payload in crowd.kept()[-size:])
            found.append(_throughput(context, crowd, publisher, case(kind, subscribers), body, size))
    return found, frames


def _throughput(
    context: Context, crowd: Crowd, publisher: Publisher, of: str, body: Callable[[], bytes], size: int
) -> Measurement:
    def burst() -> Burst:
        changed = publisher.changed
        found = fan_out(crowd, publisher, iter(body, None), results=size, seconds=context.effort.seconds)
        if publisher.changed - changed != size * found.rounds:
            raise BenchmarkFailed(f"expected {size} changes a round, but the answers say another number")
        _check_order(crowd.kept(), size)
        return found

    return _of(of, crowd.server, bursts(context.effort, burst))


def _check_order(kept: list[bytes], size: int) -> None:
    """See that the events are those that were published, in that order, with a status that changes every round."""
    events = [json.loads(payload)["payload"]["data"]["deviceStatus"] for payload in kept]
    for number, event in enumerate(events):
        if event["deviceId"] != device_id(number % size) or event["status"] == event["previousStatus"]:
            raise BenchmarkFailed(f"expected a change of {device_id(number % size)}, but event {number} is {event}")
        if number >= size and event["previousStatus"] != events[number - size]["status"]:
            raise BenchmarkFailed(f"expected event {number} to follow on the one a round before, but it is {event}")


def _state(context: Context, server: Server, subscribers: int) -> Measurement:
    """Of lists: one update a round, so the next one has to wait for it, or they would be folded."""
    story = Story()
    with crowd_of(server) as crowd:
        publisher = Publisher(crowd.load, server.address, path=server.path, token=server.token("checker"))
        publisher.call(story.round(ROUND))
        join(crowd, publisher, subscribers, DEVICES, story)
        # All of one status, and so all to be changed by the next round.
        publisher.call(story.round(ROUND))
        publisher.call(story.round(ROUND))
        settle(crowd)
        bodies = iter(lambda: story.round(ROUND), None)

        def burst() -> Burst:
            one = fan_out(crowd, publisher, bodies, results=1, seconds=context.effort.seconds, ahead=0)
            _check_updates(crowd.kept())
            return one

        found = bursts(context.effort, burst)
    return _of(case(STATE, subscribers), server, found, factor=ROUND)


def _check_updates(kept: list[bytes]) -> None:
    for payload in kept:
        update = json.loads(payload)["payload"]["data"]["devices"]
        if update["reset"] or not update["complete"] or len(update["changed"]) != ROUND:
            raise BenchmarkFailed(f"expected an update with {ROUND} changed devices, but got {payload[:500]!r}")


def _raw(context: Context, kind: str, subscribers: int, data: bytes) -> Measurement:
    """The same bytes by nothing but send(2)."""
    size = ROUND if kind == EVENTS_IN_ROUNDS else 1
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        raw_sender(context.cores, data, subscribers, Path(folder)) as server,
        crowd_of(server) as crowd,
    ):
        commander = RawPublisher(crowd.load, server.address)
        crowd.connect_raw(subscribers)
        bodies = iter(lambda: b"!", None)
        found = bursts(
            context.effort,
            lambda: fan_out(crowd, commander, bodies, results=size, seconds=context.effort.seconds),
        )
        commander.close()
    return _of(case(kind, subscribers), server, found)


def _of(of: str, server: Server, found: list[Burst], *, factor: int = 1) -> Measurement:
    return measured(
        _NAME,
        of,
        server.name,
        _UNIT,
        [factor * burst.rate for burst in found],
        server_cpu=[burst.server_cpu for burst in found],
        load_cpu=[burst.load_cpu for burst in found],
    )
