"""Moments: microseconds since 1970-01-01T00:00Z, as plain integers.

Integers order, compare and store alike on every database, and cost nothing to move about;
they become text only where they leave the service.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NewType

__all__ = ["DAY", "MINUTE", "SECOND", "Clock", "Moment", "format_moment", "from_datetime", "now", "parse_moment"]

Moment = NewType("Moment", int)
"""Microseconds since 1970-01-01T00:00Z."""

Clock = Callable[[], Moment]
"""What tells the time; tests hand in one of their own."""

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def now() -> Moment:
    """The moment by the machine's wall clock."""
    return Moment(time.time_ns() // 1000)


def from_datetime(value: datetime) -> Moment:
    """The moment of an aware datetime.

    Raises:
        ValueError: ``value`` is naive, or outside of the years 1 to 9999 in UTC.
    """
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError(f"expected a moment with an offset, like 2026-11-23T08:00:00Z, but got {value.isoformat()!r}")
    try:
        in_utc = value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"expected a moment in the years 1 to 9999, but got {value.isoformat()!r}") from None
    return Moment((in_utc - _EPOCH) // _MICROSECOND)


def parse_moment(text: str) -> Moment:
    """The moment that an ISO 8601 text with an offset names.

    Raises:
        ValueError: the text is not ISO 8601, or has no offset.
    """
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"expected an ISO 8601 moment, like 2026-11-23T08:00:00Z, but got {text[:64]!r}") from None
    return from_datetime(value)


def format_moment(moment: Moment) -> str:
    """ISO 8601 in UTC, with as many decimals as the moment has (none, or six)."""
    return (_EPOCH + timedelta(microseconds=moment)).isoformat().replace("+00:00", "Z")
