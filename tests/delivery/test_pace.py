"""How fast operations may begin."""

import pytest

from graphql_api.delivery.pace import INTROSPECTION, STRANGERS, Pace
from graphql_api.errors import RateLimited
from graphql_api.limits import Limits
from graphql_api.rates import Bucket
from graphql_api.refusals import Limit, Refusals

SLOW = {"operations_per_second": 0.01}


def pace(**limits):
    refusals = Refusals()
    return Pace(Limits(**limits), refusals), refusals


def taken(begin, *arguments, **named):
    """How many begin before one is refused."""
    for number in range(10_000):
        try:
            begin(*arguments, **named)
        except RateLimited:
            return number
    raise AssertionError("none was refused")


def test_strangers_have_a_slower_pace_by_address():
    """Without a token an address has 200 operations at once, of which 20 ask for the schema, and others have theirs."""
    counting, refusals = pace(**SLOW)
    for address in ("10.0.0.1", "10.0.0.2", None):
        assert taken(counting.begin_without_token, address, introspects=True) == INTROSPECTION.burst
        # One that is refused for its introspection has counted as an operation.
        assert taken(counting.begin_without_token, address, introspects=False) == STRANGERS.burst - 21
    assert refusals.statistics()[Limit.ANONYMOUS_INTROSPECTION.value] == 3
    assert refusals.statistics()[Limit.ANONYMOUS_RATE.value] == 3
    counting.begin_over_http("10.0.0.1", "anna")
    assert counting.statistics().buckets == 7


def test_a_slow_pace_is_for_strangers_too():
    """Where callers with a token may begin fewer operations, those without may not begin more."""
    counting, refusals = pace(operations_burst=2, **SLOW)
    assert taken(counting.begin_without_token, "10.0.0.1", introspects=True) == 2
    with pytest.raises(RateLimited, match="operations a second without a token; repeat it in"):
        counting.begin_without_token("10.0.0.1", introspects=False)
    assert refusals.statistics()[Limit.ANONYMOUS_RATE.value] == 2


def test_callers_have_theirs_by_address_and_subject_and_sockets_by_themselves():
    """What one has used up is nobody else's, and each refusal is counted."""
    counting, refusals = pace(operations_burst=3, **SLOW)
    for caller in (("10.0.0.1", "anna"), ("10.0.0.1", "bert"), ("10.0.0.2", "anna")):
        assert taken(counting.begin_over_http, *caller) == 3
    for bucket in (Bucket(), Bucket()):
        assert taken(counting.begin_on_socket, bucket) == 3
    assert refusals.statistics()[Limit.OPERATION_RATE.value] == 5
