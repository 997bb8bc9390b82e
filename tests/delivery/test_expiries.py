"""Expiry on a clock of the test's own."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphql_api.delivery.expiries import Expiries
from graphql_api.moment import Moment, now

pytestmark = pytest.mark.anyio


@pytest.mark.logs_errors
async def test_a_defect_in_sending_one_away_does_not_keep_the_others(caplog):
    """Where a callback fails, those behind it are called all the same, and whoever asked hears nothing of it."""
    moment = 0
    called = []

    def fail():
        raise ZeroDivisionError

    expiries = Expiries(lambda: Moment(moment))
    with contextlib.closing(expiries):
        expiries.add(Moment(1), fail)
        expiries.add(Moment(2), lambda: called.append("second"))
        expiries.add(Moment(9), lambda: called.append("third"))
        moment = 5
        expiries.expire()
    assert called == ["second"]
    assert len(expiries) == 1
    assert "could not be sent away" in caplog.text


@given(
    moments=st.lists(st.integers(1, 20), max_size=30),
    steps=st.lists(st.integers(0, 20), min_size=1),
    gone=st.sets(st.integers(0, 29)),
)
async def test_each_is_called_once_in_the_order_of_expiry(moments, steps, gone):
    """Whoever has expired is called at the first asking from that moment on, once, in order; who has gone is not."""
    today = 0
    called = []
    expiries = Expiries(lambda: Moment(today))
    with contextlib.closing(expiries):
        numbers = [
            expiries.add(Moment(moment), lambda index=index: called.append(index))
            for index, moment in enumerate(moments)
        ]
        for index in gone & set(range(len(numbers))):
            expiries.remove(numbers[index])
            expiries.remove(numbers[index])
        staying = sorted((moment, index) for index, moment in enumerate(moments) if index not in gone)
        for step in sorted(steps):
            today = step
            expiries.expire()
            assert called == [index for moment, index in staying if moment <= today]
            assert len(expiries) == len(staying) - len(called)


async def test_the_moment_itself_calls():
    """Nobody has to ask: the timer calls at the moment, that of an earlier expiry which was added later, too."""
    called = asyncio.Queue()
    expiries = Expiries(now)
    with contextlib.closing(expiries):
        start = now()
        expiries.add(Moment(start + 60_000), lambda: called.put_nowait("second"))
        expiries.add(Moment(start + 20_000), lambda: called.put_nowait("first"))
        assert [await called.get(), await called.get()] == ["first", "second"]
        assert now() >= start + 60_000


async def test_those_who_have_gone_cost_nothing():
    """However many connections come and go before they expire, the heap stays about as long as there are some."""
    expiries = Expiries(lambda: Moment(0))
    with contextlib.closing(expiries):
        for _ in range(10_000):
            expiries.remove(expiries.add(Moment(1), pytest.fail))
        assert len(expiries._heap) <= 1_001
