"""What one operation may ask for: how much, and how often. Whoever asks for more is told, and counted."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from graphql_api.limits import Limits
from graphql_api.rates import Buckets, Rate
from graphql_api.refusals import Limit, Refusals

__all__ = ["Guard"]

# Coercing a list of input objects keeps everybody waiting, some 40 us an item. No argument may have as many.
_LONGEST_LIST = 5_000


def _size_of(variables: Mapping[str, Any]) -> int:
    try:
        return len(orjson.dumps(variables))
    except orjson.JSONEncodeError:
        # Lone surrogates, which don't come over the wire: the arguments that hold them are refused by themselves.
        return len(json.dumps(variables))


class Guard:
    """The limits of operations, and who has used how much of them. Everything that it raises is counted."""

    def __init__(self, limits: Limits | None = None, refusals: Refusals | None = None) -> None:
        self.limits = limits or Limits()
        self.refusals = refusals or Refusals()
        self.publishes = Buckets(Rate(self.limits.publishes_per_second, self.limits.publishes_burst))

    def check_variables(self, variables: Mapping[str, Any]) -> None:
        """See that variables are small enough to be read.

        Raises:
            LimitExceeded: they aren't.
        """
        for name, value in variables.items():
            if isinstance(value, list) and len(value) > _LONGEST_LIST:
                sentence = f"Expected the list ${name} to have at most {_LONGEST_LIST} items, but it has {len(value)}."
                raise self.refusals.exceeded(Limit.LIST_LENGTH, sentence)
        if variables and (size := _size_of(variables)) > self.limits.variables_limit:
            sentence = f"Expected variables of at most {self.limits.variables_limit} bytes, but these have {size}."
            raise self.refusals.exceeded(Limit.VARIABLES_SIZE, sentence)

    def check_device_ids(self, device_ids: Sequence[str] | None) -> None:
        """See that a filter is of a sensible length.

        Raises:
            LimitExceeded: it isn't.
        """
        most = self.limits.max_device_ids
        if device_ids is not None and len(device_ids) > most:
            sentence = f"Expected at most {most} deviceIds, but got {len(device_ids)}. Leave the argument out for all."
            raise self.refusals.exceeded(Limit.LIST_LENGTH, sentence)

    def admit_publish(self, subject: str) -> None:
        """Count a round that a subject is about to have recorded.

        Raises:
            RateLimited: it has had too many recorded lately.
        """
        if wait := self.publishes.take(subject):
            sentence = (
                f"Expected at most {self.limits.publishes_per_second:g} rounds a second of one subject."
                f" Nothing was recorded; repeat it in {wait:g} seconds, or publish more devices in a round."
            )
            raise self.refusals.too_often(Limit.PUBLISH_RATE, sentence, wait)
