"""Memory: what one more subscribed connection costs the server while nothing happens."""

from collections.abc import Iterator

from benchmarks.context import Context
from benchmarks.crowd import Crowd, crowd_of
from benchmarks.documents import EVENTS, subscribe_frame
from benchmarks.failure import PeerMissing
from benchmarks.machine import resident_bytes
from benchmarks.measurement import Measurement, measured
from benchmarks.peers.running import PEERS
from benchmarks.server import Server, device_status

__all__ = ["case", "run"]

# Connected before the first look, as a part of the others: what a server makes once, or has to spare from its start, is
# not counted then.
_FIRST = 0.2


def run(context: Context) -> Iterator[Measurement]:
    """This service, and the others."""
    with device_status(context.cores) as server:
        yield _memory(context, server)
    for start in PEERS.values():
        try:
            with start(context.cores) as server:
                yield _memory(context, server)
        except PeerMissing as missing:
            context.leave_out(str(missing))


def case(connections: int) -> str:
    """What a figure is of."""
    return f"RSS per idle subscribed connection, {connections:,} of them"


def _memory(context: Context, server: Server) -> Measurement:
    connections = context.effort.idle
    with crowd_of(server) as crowd:
        _subscribe(crowd, round(_FIRST * connections))
        crowd.load.run_for(1)
        before = resident_bytes(server.pid)
        _subscribe(crowd, connections)
        # Time for the server to let go of what it needed for connecting.
        crowd.load.run_for(2)
        used = resident_bytes(server.pid) - before
        crowd.check(0)
    return measured("memory", case(connections), server.name, "KB", [used / connections / 1000])


def _subscribe(crowd: Crowd, number: int) -> None:
    first = len(crowd.members)
    frame = subscribe_frame(EVENTS)
    crowd.connect(
        [{"authorization": f"Bearer {crowd.server.token(f'user-{first + index}')}"} for index in range(number)],
        lambda _: frame,
    )
