"""The one table of what is limited, and how often each limit was met.

A limit that is met is told to whoever met it, in a sentence, and counted here; the operator sees the counts.
"""

from collections import Counter
from collections.abc import Mapping
from enum import Enum

from graphql_api.errors import LimitExceeded, RateLimited

__all__ = ["Limit", "Refusals"]


class Limit(Enum):
    """What is limited; the value is its name in the statistics."""

    CONNECTIONS = "connections"
    CONNECTIONS_PER_ADDRESS = "connections_per_address"
    CONNECTIONS_PER_SUBJECT = "connections_per_subject"
    SUBSCRIPTIONS = "subscriptions"
    RESUME_POINTS = "resume_points"
    OPERATION_RATE = "operation_rate"
    ANONYMOUS_RATE = "anonymous_rate"
    ANONYMOUS_INTROSPECTION = "anonymous_introspection"
    PUBLISH_RATE = "publish_rate"
    REVOCATIONS = "revocations"
    MESSAGE_SIZE = "message_size"
    HEAD_SIZE = "head_size"
    HEAD_TIME = "head_time"
    BODY_SIZE = "body_size"
    BODIES = "bodies"
    DOCUMENT_SIZE = "document_size"
    ANONYMOUS_DOCUMENT = "anonymous_document"
    DOCUMENT_FIELDS = "document_fields"
    DOCUMENT_ALIASES = "document_aliases"
    DOCUMENT_DEPTH = "document_depth"
    VARIABLES_SIZE = "variables_size"
    LIST_LENGTH = "list_length"
    INTROSPECTION = "introspection"
    ORIGIN = "origin"


class Refusals:
    """Counts what was refused since the start of the process."""

    def __init__(self) -> None:
        self._counts: Counter[Limit] = Counter()

    def count(self, limit: Limit) -> None:
        """Count one that is refused."""
        self._counts[limit] += 1

    def exceeded(self, limit: Limit, sentence: str) -> LimitExceeded:
        """The error to raise for one that is refused; it is counted."""
        self.count(limit)
        return LimitExceeded(sentence)

    def too_often(self, limit: Limit, sentence: str, retry_after: float) -> RateLimited:
        """The error to raise for one that may be repeated in ``retry_after`` seconds; it is counted."""
        self.count(limit)
        return RateLimited(sentence, retry_after)

    def statistics(self) -> Mapping[str, int]:
        """How many were refused, by the name of the limit; those that nobody met included."""
        return {limit.value: self._counts[limit] for limit in Limit}
