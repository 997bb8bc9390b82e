"""Connecting: handshake, authentication, subscription, each step answered; everyone with a token of their own."""

from collections.abc import Iterator

from benchmarks.context import Context
from benchmarks.crowd import CONCURRENCY, crowd_of
from benchmarks.documents import EVENTS, subscribe_frame
from benchmarks.failure import PeerMissing
from benchmarks.gauge import Gauge
from benchmarks.measurement import Measurement, measured
from benchmarks.peers.running import PEERS
from benchmarks.server import Server, device_status

__all__ = ["CASE", "run"]

CASE = f"connect, authenticate, subscribe; {CONCURRENCY} at a time"


def run(context: Context) -> Iterator[Measurement]:
    """This service, and the others, which do not authenticate."""
    with device_status(context.cores) as server:
        yield _connects(context, server)
    for start in PEERS.values():
        try:
            with start(context.cores) as server:
                yield _connects(context, server)
        except PeerMissing as missing:
            context.leave_out(str(missing))


def _connects(context: Context, server: Server) -> Measurement:
    number = context.effort.crowds[0]
    frame = subscribe_frame(EVENTS)
    samples, shares = [], []
    for repeat in range(context.effort.repeats):
        inits = [{"authorization": f"Bearer {server.token(f'user-{repeat}-{index}')}"} for index in range(number)]
        with crowd_of(server) as crowd:
            gauge = Gauge(server.pid)
            crowd.connect(inits, lambda _: frame)
            samples.append(number / gauge.seconds)
            shares.append(gauge.shares())
    server_cpu, load_cpu = zip(*shares, strict=True)
    return measured("connects", CASE, server.name, "per second", samples, server_cpu=server_cpu, load_cpu=load_cpu)
