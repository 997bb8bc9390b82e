"""Expiry on a clock of the test's own."""

import contextlib

import pytest

from graphql_api.delivery.expiries import Expiries
from graphql_api.moment import Moment

pytestmark = pytest.mark.anyio


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
