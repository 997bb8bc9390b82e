"""A delivery that is missing, or is one too many, fails a benchmark: against a server that cheats."""

import contextlib
import os
import socket
import threading
from pathlib import Path

import pytest

from benchmarks.crowd import crowd_of
from benchmarks.failure import BenchmarkFailed
from benchmarks.frames import server_frame
from benchmarks.publisher import RawPublisher
from benchmarks.rounds import fan_out
from benchmarks.server import Server

FRAME = server_frame(b'{"id":"1","type":"next","payload":{}}')
OTHER_FRAME = server_frame(b'{"id":"1","type":"next","payload":[0]}')


class Sender:
    """Takes one who commands and some who listen; what each of them gets for each command is given."""

    pid = os.getpid()

    def __init__(self, deliveries):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.deliveries = deliveries
        self.thread = threading.Thread(target=self._serve)

    def _serve(self):
        with contextlib.ExitStack() as stack:
            accepted = [stack.enter_context(self.listener.accept()[0]) for _ in range(1 + len(self.deliveries))]
            while command := accepted[0].recv(1):
                for one, delivery in zip(accepted[1:], self.deliveries, strict=True):
                    one.sendall(delivery)
                accepted[0].sendall(command)

    def __enter__(self):
        self.thread.start()
        return Server("cheating", self, self.listener.getsockname()[1], Path(os.devnull))

    def __exit__(self, *_):
        self.thread.join()
        self.listener.close()


def burst(deliveries):
    with Sender(deliveries) as server, crowd_of(server) as crowd:
        commander = RawPublisher(crowd.load, server.address)
        try:
            crowd.connect_raw(len(deliveries))
            return fan_out(crowd, commander, iter(lambda: b"!", None), results=1, seconds=0, timeout=0.5)
        finally:
            commander.close()


def test_honest_deliveries_are_counted():
    """Two rounds at least go to everyone, and the rate is that of all deliveries."""
    found = burst([FRAME] * 3)
    assert found.rounds == 2
    assert found.rate > 0


def test_a_missing_delivery_fails():
    """One subscriber that gets nothing is waited for, and then is the end of it."""
    with pytest.raises(BenchmarkFailed, match="2 deliveries"):
        burst([FRAME, FRAME, b""])


def test_a_delivery_too_many_does_not_make_up_for_a_missing_one():
    """Counted in all there are enough, but each subscriber is looked at."""
    with pytest.raises(BenchmarkFailed, match="expected 2 deliveries for everyone"):
        burst([FRAME * 2, FRAME, b""])


def test_other_bytes_than_everyone_else_got_fail():
    """As many deliveries as wanted, but not the same ones."""
    with pytest.raises(BenchmarkFailed, match="the same bytes"):
        burst([FRAME, FRAME, OTHER_FRAME])
