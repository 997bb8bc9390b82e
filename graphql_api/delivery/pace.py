"""How fast operations may begin: on one WebSocket, and over HTTP by one caller."""

from graphql_api.limits import Limits
from graphql_api.rates import Bucket, Buckets, BucketsStatistics, Rate
from graphql_api.refusals import Limit, Refusals

__all__ = ["Pace"]


class Pace:
    """Counts operations as they begin. Everything that it raises is counted."""

    def __init__(self, limits: Limits, refusals: Refusals) -> None:
        self._rate = Rate(limits.operations_per_second, limits.operations_burst)
        self._refusals = refusals
        self._callers = Buckets(self._rate)

    def begin_on_socket(self, bucket: Bucket) -> None:
        """Count an operation on the WebSocket whose bucket it is.

        Raises:
            RateLimited: it is one too many.
        """
        self._check(bucket.take(self._rate))

    def begin_over_http(self, address: str | None, subject: str | None) -> None:
        """Count an operation of a caller: connections over HTTP come and go, so they don't count.

        Raises:
            RateLimited: it is one too many.
        """
        self._check(self._callers.take((address, subject)))

    def statistics(self) -> BucketsStatistics:
        """Of the callers over HTTP."""
        return self._callers.statistics()

    def _check(self, wait: float) -> None:
        if wait:
            sentence = f"Expected at most {self._rate.per_second:g} operations a second; repeat it in {wait:g} seconds."
            raise self._refusals.too_often(Limit.OPERATION_RATE, sentence, wait)
