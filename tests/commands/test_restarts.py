"""When a worker is started again."""

from hypothesis import given
from hypothesis import strategies as st

from graphql_api.cli.restarts import LONG_LIFE, LONGEST_DELAY, Restarts

lives = st.floats(0, 2 * LONG_LIFE)


def two_that_serve():
    restarts = Restarts(2)
    restarts.served(0)
    restarts.served(1)
    return restarts


@given(st.integers(1, 8), st.data())
def test_until_all_have_served_none_may_fail(workers, data):
    """A worker that ends before it served ends the command, unless each has served once and another one serves."""
    restarts = Restarts(workers)
    serving, ever = set(), set()
    for _ in range(data.draw(st.integers(0, 30))):
        worker = data.draw(st.integers(0, workers - 1))
        if worker not in serving and data.draw(st.booleans()):
            restarts.served(worker)
            serving.add(worker)
            ever.add(worker)
            continue
        could_not_start = worker not in serving
        serving.discard(worker)
        given_up = restarts.ended(worker, data.draw(lives)) is None
        assert given_up == (could_not_start and (len(ever) < workers or not serving))
        assert restarts.complete == (len(ever) == workers)
        if given_up:
            return


def test_one_that_dies_again_and_again_waits_longer_and_longer():
    """The first short life costs no pause, each further one twice as long a one, up to the longest."""
    restarts = two_that_serve()
    delays = []
    for _ in range(10):
        delays.append(restarts.ended(0, 1.0))
        restarts.served(0)
    assert delays == [0, 0.5, 1, 2, 4, 8, 16, LONGEST_DELAY, LONGEST_DELAY, LONGEST_DELAY]


def test_a_long_life_is_forgiven():
    """After a long life the next start is at once, and so is the one after a short life that follows."""
    restarts = two_that_serve()
    delays = []
    for lived in (1.0, 1.0, LONG_LIFE, 1.0):
        delays.append(restarts.ended(0, lived))
        restarts.served(0)
    assert delays == [0, 0.5, 0, 0]


def test_a_start_that_takes_long_and_fails_is_no_long_life():
    """What did not serve is a failure, however long it took."""
    restarts = two_that_serve()
    assert [restarts.ended(0, LONG_LIFE) for _ in range(3)] == [0, 0, 0.5]


@given(st.integers(1, 2_000))
def test_delays_are_bounded(deaths):
    """However often a worker has died, the pause is no error and no longer than the longest."""
    restarts = two_that_serve()
    restarts.ended(0, 0.0)
    assert max(restarts.ended(0, 0.0) for _ in range(deaths)) <= LONGEST_DELAY
