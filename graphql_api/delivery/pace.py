"""How fast operations may begin: on one WebSocket, and over HTTP by one caller."""

from graphql_api.limits import Limits
from graphql_api.rates import Bucket, Buckets, BucketsStatistics, Rate
from graphql_api.refusals import Limit, Refusals

__all__ = ["INTROSPECTION", "STRANGERS", "Pace"]

STRANGERS = Rate(10.0, 200)
"""Operations of one address without a token: such callers are told what the schema is, and nothing else."""

INTROSPECTION = Rate(1.0, 20)
"""Of these, those that ask for the schema: each may take a tenth of a second, in which nobody else is served."""


class Pace:
    """Counts operations as they begin. Everything that it raises is counted."""

    def __init__(self, limits: Limits, refusals: Refusals) -> None:
        self._rate = Rate(limits.operations_per_second, limits.operations_burst)
        self._refusals = refusals
        self._callers = Buckets(self._rate)
        self._strangers = Buckets(_slower(self._rate, STRANGERS))
        self._introspections = Buckets(_slower(self._rate, INTROSPECTION))

    def begin_on_socket(self, bucket: Bucket) -> None:
        """Count an operation on the WebSocket whose bucket it is.

        Raises:
            RateLimited: it is one too many.
        """
        self._check(bucket.take(self._rate), Limit.OPERATION_RATE, self._rate, "operations a second")

    def begin_over_http(self, address: str | None, subject: str) -> None:
        """Count an operation of a caller: connections over HTTP come and go, so they don't count.

        Raises:
            RateLimited: it is one too many.
        """
        self._check(self._callers.take((address, subject)), Limit.OPERATION_RATE, self._rate, "operations a second")

    def begin_without_token(self, address: str | None, *, introspects: bool) -> None:
        """Count an operation over HTTP of somebody unknown.

        Raises:
            RateLimited: it is one too many from there.
        """
        strangers, introspections = self._strangers, self._introspections
        what = "operations a second without a token"
        self._check(strangers.take(address), Limit.ANONYMOUS_RATE, strangers.rate, what)
        if introspects:
            what = "introspections a second without a token"
            self._check(introspections.take(address), Limit.ANONYMOUS_INTROSPECTION, introspections.rate, what)

    def statistics(self) -> BucketsStatistics:
        """Of the callers over HTTP, those without a token included."""
        tables = [each.statistics() for each in (self._callers, self._strangers, self._introspections)]
        return BucketsStatistics(sum(each.buckets for each in tables), sum(each.forgotten for each in tables))

    def _check(self, wait: float, limit: Limit, rate: Rate, what: str) -> None:
        if wait:
            sentence = f"Expected at most {rate.per_second:g} {what}; repeat it in {wait:g} seconds."
            raise self._refusals.too_often(limit, sentence, wait)


def _slower(one: Rate, other: Rate) -> Rate:
    return Rate(min(one.per_second, other.per_second), min(one.burst, other.burst))
