"""Patience with clients that take nothing, on a clock of the test's own."""

import pytest

from graphql_api.delivery.patience import Patience


class Client:
    """What is watched of a client: the bytes that it has not taken."""

    def __init__(self):
        self.untaken = 0
        self.stalled = 0

    def watched_by(self, patience):
        patience.watch(self, lambda: self.untaken, self.on_stalled)

    def on_stalled(self):
        self.stalled += 1


@pytest.fixture
def client():
    return Client()


def looks(patience, client, *untaken, since=0.0):
    """Look once a second, each time with so many bytes untaken."""
    for second, each in enumerate(untaken):
        client.untaken = each
        patience.look(since + second)


def test_a_client_that_takes_nothing_is_let_go_once(client):
    """After the given time with the same bytes waiting the client is called stalled, once, and counted."""
    patience = Patience(3)
    client.watched_by(patience)
    looks(patience, client, 10, 10, 10)
    assert (client.stalled, patience.exhausted) == (0, 0)
    looks(patience, client, 10, 10, 10, 10, since=3.0)
    assert (client.stalled, patience.exhausted) == (1, 1)


def test_bytes_that_are_new_begin_their_time_anew(client):
    """The time counts from when bytes were first seen to wait, not from when the client was first looked at."""
    patience = Patience(3)
    client.watched_by(patience)
    looks(patience, client, 0, 0, 0, 10, 10, 10)
    assert client.stalled == 0
    looks(patience, client, 10, since=6.0)
    assert client.stalled == 1


def test_a_client_that_takes_a_little_is_not(client):
    """A client that takes a byte now and then is never stalled, however much is waiting."""
    patience = Patience(3)
    client.watched_by(patience)
    looks(patience, client, *range(1_000, 0, -1))
    looks(patience, client, 9, 9, 8, 8, 7, 7, 6, 6, since=1_000.0)
    assert client.stalled == 0


def test_a_client_with_nothing_waiting_is_not(client):
    """A client for whom nothing is waiting is quiet, not stalled."""
    patience = Patience(3)
    client.watched_by(patience)
    looks(patience, client, *[0] * 10)
    assert client.stalled == 0


def test_who_is_no_longer_watched_is_left_alone(client):
    """Whoever has taken everything, or has gone, is not called."""
    patience = Patience(1)
    client.watched_by(patience)
    looks(patience, client, 5)
    patience.forget(client)
    patience.forget(client)
    looks(patience, client, 5, 5, 5, since=1.0)
    assert client.stalled == 0


def test_watching_twice_does_not_begin_anew(client):
    """One who is watched already keeps the time that it has used up."""
    patience = Patience(3)
    client.watched_by(patience)
    looks(patience, client, 5, 5, 5)
    client.watched_by(patience)
    looks(patience, client, 5, since=3.0)
    assert client.stalled == 1


def test_one_may_let_another_go():
    """A client that is forgotten while another one is called stalled is not called any more."""
    patience = Patience(1)
    first, second = Client(), Client()
    first.on_stalled = lambda: patience.forget(second)
    for each in (first, second):
        each.untaken = 1
        each.watched_by(patience)
    patience.look(0.0)
    patience.look(1.0)
    assert (patience.exhausted, second.stalled) == (1, 0)


@pytest.mark.logs_errors
def test_a_defect_in_letting_one_go_does_not_keep_the_others(client, caplog):
    """Where a client can't be let go, those behind it are, and the watch goes on."""

    def fail():
        raise ZeroDivisionError

    patience = Patience(3)
    patience.watch("defective", lambda: 10, fail)
    client.watched_by(patience)
    looks(patience, client, 10, 10, 10, 10)
    assert (client.stalled, patience.exhausted) == (1, 2)
    assert "could not be let go" in caplog.text
