"""Where clients want to resume, as they say it; what is no cursor is for the stream to find out. No I/O."""

from typing import Any

__all__ = ["resume_point", "resume_points"]

# Of a connection_init: more than any client has operations, and a bound on what is remembered.
_MOST_POINTS = 1_000


def resume_point(value: Any) -> str | None:
    """The cursor in ``extensions.resumeFrom`` of one operation; null counts as absent.

    What is no text can be no cursor: such a subscriber wants to resume, and is not recovered.
    """
    if value is None or isinstance(value, str):
        return value
    return ""


def resume_points(value: Any) -> dict[str, str]:
    """The map from operation id to cursor in a ``connection_init`` payload's ``resumeFrom``."""
    if not isinstance(value, dict):
        return {}
    points = {key: resume_point(cursor) for key, cursor in list(value.items())[:_MOST_POINTS]}
    return {key: cursor for key, cursor in points.items() if cursor is not None}
