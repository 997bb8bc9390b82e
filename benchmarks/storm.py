"""A storm: the network blinks, and all clients come back at once, each with the cursor of what it saw last."""

from collections.abc import Iterator

from benchmarks.context import Context
from benchmarks.crowd import CONCURRENCY, crowd_of
from benchmarks.documents import EVENTS, publish_round, subscribe_frame
from benchmarks.gauge import Gauge
from benchmarks.measurement import Measurement, measured
from benchmarks.publisher import Publisher
from benchmarks.server import Server, device_status
from benchmarks.subscriber import OPERATION_ID

__all__ = ["MISSED", "case", "run"]

_ROUNDS = 4
_SIZE = 5
MISSED = _ROUNDS * _SIZE
"""Changes while everyone is away."""


def run(context: Context) -> Iterator[Measurement]:
    """This service; the others know no resuming."""
    with device_status(context.cores) as server:
        yield _storm(context, server)


def case(clients: int) -> str:
    """What a figure is of."""
    return f"{clients:,} clients reconnect, {CONCURRENCY} at a time, and resume {MISSED} events each"


def _storm(context: Context, server: Server) -> Measurement:
    clients = context.effort.storm
    frame = subscribe_frame(EVENTS)
    tokens = [f"Bearer {server.token(f'user-{index}')}" for index in range(clients)]
    with crowd_of(server) as crowd:
        publisher = Publisher(crowd.load, server.address, path=server.path, token=server.token("checker"))
        publisher.call(publish_round(_SIZE, 0))
        crowd.connect([{"authorization": token} for token in tokens], lambda _: frame)
        cursors = [member.cursor for member in crowd.members]
        crowd.abort()
        for turn in range(_ROUNDS):
            publisher.call(publish_round(_SIZE, turn + 1))
        inits = [
            {"authorization": token, "resumeFrom": {OPERATION_ID: cursor}}
            for token, cursor in zip(tokens, cursors, strict=True)
        ]
        gauge = Gauge(server.pid)
        crowd.connect(inits, lambda _: frame)
        crowd.await_deliveries(MISSED * clients)
        rate = clients / gauge.seconds
        server_cpu, load_cpu = gauge.shares()
        crowd.check(MISSED)
        publisher.close()
    return measured(
        "storm", case(clients), server.name, "per second", [rate], server_cpu=[server_cpu], load_cpu=[load_cpu]
    )
