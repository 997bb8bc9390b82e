"""Where clients want to resume, as they say it; what is no cursor is for the stream to find out. No I/O."""

from typing import Any

__all__ = ["kept", "resume_point", "resume_points"]


def resume_point(value: Any) -> str | None:
    """The cursor in ``extensions.resumeFrom`` of one operation; null counts as absent.

    What is no text can be no cursor: such a subscriber wants to resume, and is not recovered.
    """
    if value is None or isinstance(value, str):
        return value
    return ""


def resume_points(value: Any) -> dict[str, str]:
    """The map from operation id to cursor in a ``connection_init`` payload's ``resumeFrom``.

    As long as a message may be: clients keep ids of operations that are long gone, and to leave one out
    would be to lose what its subscriber has missed, without a word.
    """
    if not isinstance(value, dict):
        return {}
    points = {key: resume_point(cursor) for key, cursor in value.items()}
    return {key: cursor for key, cursor in points.items() if cursor is not None}


def kept(*cursors: str | None) -> tuple[str, ...]:
    """Those cursors that there are."""
    return tuple(cursor for cursor in cursors if cursor is not None)
