"""Token buckets: what passes in which time, without a clock."""

from hypothesis import given
from hypothesis import strategies as st

from graphql_api.rates import Buckets, Rate

SECOND = 1_000_000_000

rates = st.builds(Rate, st.floats(0.01, 10_000), st.integers(1, 50))
pauses = st.lists(st.integers(0, 5 * SECOND), min_size=1, max_size=60)


def passing(rate, pauses):
    """The moments at which a token was to be had, when asked for after each pause."""
    now, full_at, passed = SECOND, 0, []
    for pause in pauses:
        now += pause
        full_at, wait = rate.take(full_at, now)
        if not wait:
            passed.append(now)
    return passed


@given(rates, pauses)
def test_no_window_has_more_than_the_burst_and_what_comes_in_over_its_time(rate, pauses):
    """Between any two that pass there are at most the burst and the rate times the time between them."""
    passed = passing(rate, pauses)
    for begin, first in enumerate(passed):
        for end in range(begin, len(passed)):
            most = rate.burst + rate.per_second * 1.000001 * (passed[end] - first) / SECOND
            assert end - begin + 1 <= most + 0.001


@given(rates)
def test_after_a_pause_the_burst_passes_at_once_and_one_more_does_not(rate):
    """A new bucket, and one that has rested, let exactly the burst through in one moment."""
    full_at = 0
    for now in (SECOND, SECOND * 1_000_000):
        for _ in range(rate.burst):
            full_at, wait = rate.take(full_at, now)
            assert wait == 0
        assert rate.take(full_at, now)[1] > 0


@given(rates, pauses)
def test_who_waits_as_long_as_told_gets_a_token_and_not_sooner(rate, pauses):
    """A refusal names the exact time to wait, and costs nothing."""
    now, full_at = SECOND, 0
    for pause in pauses:
        now += pause
        full_at, wait = rate.take(full_at, now)
        if wait:
            assert rate.take(full_at, now + wait - 1)[1] == 1
            assert rate.take(full_at, now + wait)[1] == 0


def test_the_defaults_let_a_round_for_each_of_forty_schools_through_at_once():
    """Forty operations and forty publishes in one moment pass, as they come."""
    from graphql_api.limits import Limits

    limits = Limits()
    for rate in (
        Rate(limits.operations_per_second, limits.operations_burst),
        Rate(limits.publishes_per_second, limits.publishes_burst),
    ):
        assert len(passing(rate, [0] * 40)) == 40


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, SECOND)), max_size=200),
    st.integers(1, 10),
    st.builds(Rate, st.floats(0.5, 50), st.integers(1, 5)),
)
def test_the_table_is_bounded_and_keys_know_nothing_of_each_other(calls, most, rate):
    """There are never more buckets than allowed, and while none had to be forgotten, each key has its own rate."""
    now = SECOND
    buckets = Buckets(rate, most=most, clock=lambda: now)
    alone = {}
    for key, pause in calls:
        now += pause
        wait = buckets.take(key)
        alone[key], expected = rate.take(alone.get(key, 0), now)
        statistics = buckets.statistics()
        assert statistics.buckets <= most
        if not statistics.forgotten:
            assert (wait > 0) == (expected > 0)


def test_a_bucket_that_makes_room_before_it_is_full_is_counted():
    """With room for two, a third key has the oldest forgotten: it is counted, and its key begins anew."""
    now = SECOND
    buckets = Buckets(Rate(1, 1), most=2, clock=lambda: now)
    assert [buckets.take(key) for key in "abab"] == [0, 0, 1, 1]
    assert buckets.take("c") == 0
    assert (buckets.statistics().buckets, buckets.statistics().forgotten) == (2, 1)
    assert buckets.take("a") == 0


def test_buckets_that_are_full_are_not_kept():
    """A bucket that has rested until it is full makes room by itself, and is not missed."""
    now = SECOND
    buckets = Buckets(Rate(1, 2), most=100, clock=lambda: now)
    for key in range(50):
        buckets.take(key)
    now += 10 * SECOND
    for key in range(30):
        buckets.take(f"later {key}")
    assert buckets.statistics().buckets == 30
    assert buckets.statistics().forgotten == 0


def test_the_wait_is_told_in_seconds_rounded_up():
    """A wait of a third of a second is told as 0.334: to the millisecond, and never too short."""
    buckets = Buckets(Rate(3, 1), clock=lambda: SECOND)
    assert buckets.take("a") == 0
    assert buckets.take("a") == 0.334
