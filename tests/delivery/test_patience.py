"""Patience with clients that take nothing, on a clock of the test's own."""

import pytest
from graphql_api.delivery.peer import Peer, offer

from graphql_api.delivery.patience import Patience


class Transport:
    """What is asked of a transport."""

    def __init__(self):
        self.untaken = 0
        self.aborted = False

    def get_write_buffer_size(self):
        return self.untaken

    def abort(self):
        self.aborted = True


@pytest.fixture
def transport():
    return Transport()


@pytest.fixture
def peer(transport):
    scope = {}
    offer(scope, transport)
    return Peer(scope)


def looks(patience, transport, *untaken):
    """Look once a second, each time with so many bytes untaken."""
    for second, each in enumerate(untaken):
        transport.untaken = each
        patience.look(float(second))


def test_a_client_that_takes_nothing_is_let_go_once(transport, peer):
    """After the given time with the same bytes waiting the client is called stalled, once, and counted."""
    patience = Patience(3)
    stalled = []
    with patience.watching(peer, lambda: stalled.append(True)):
        looks(patience, transport, 0, 10, 10, 10)
        assert not stalled
        looks(patience, transport, 0, 10, 10, 10, 10, 10, 10)
    assert (len(stalled), patience.exhausted) == (1, 1)


def test_a_client_that_takes_a_little_is_not(transport, peer):
    """A client that takes a byte now and then is never stalled, however much is waiting."""
    patience = Patience(3)
    with patience.watching(peer, lambda: pytest.fail("it is not stalled")):
        looks(patience, transport, *range(1_000, 0, -1))
        looks(patience, transport, 9, 9, 8, 8, 7, 7, 6, 6)


def test_a_client_with_nothing_waiting_is_not(transport, peer):
    """A client for whom nothing is waiting is quiet, not stalled."""
    patience = Patience(3)
    with patience.watching(peer, lambda: pytest.fail("it is not stalled")):
        looks(patience, transport, *[0] * 10)


def test_who_is_no_longer_watched_is_left_alone(transport, peer):
    """After the context nobody is called."""
    patience = Patience(1)
    with patience.watching(peer, lambda: pytest.fail("it has gone")):
        looks(patience, transport, 5)
    looks(patience, transport, 5, 5, 5, 5)


def test_without_the_extension_nothing_is_known():
    """On another server a client is never idle, and aborting it does nothing."""
    peer = Peer({"type": "websocket"})
    assert [peer.idle(now) for now in (0.0, 100.0)] == [0.0, 0.0]
    peer.abort()


def test_abort_lets_the_client_go(transport, peer):
    """Aborting goes to the transport."""
    peer.abort()
    assert transport.aborted
