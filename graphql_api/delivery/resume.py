"""Where clients want to resume, as they say it; what is no cursor is for the stream to find out. No I/O."""

from typing import Any, Final, Self

from graphql_api.delivery.protocol import MAX_ID_BYTES
from graphql_api.devices.cursor import LONGEST_CURSOR

__all__ = ["NOT_RECOVERED", "RESUME_POINTS_LIMIT", "ResumePoints", "kept", "resume_point"]

RESUME_POINTS_LIMIT = 1_000
"""Cursors that are kept of one ``connection_init``: ten times the subscriptions that one connection has by default."""

NOT_RECOVERED: Final = ""
"""Stands for what is no cursor of ours: whoever has it wanted to resume, and is told in band that it could not."""


def resume_point(value: Any) -> str | None:
    """The cursor in ``extensions.resumeFrom`` of one operation; null counts as absent.

    What is no text can be no cursor, nor what is longer or has other characters than any. It need not be kept.
    """
    if value is None:
        return None
    is_possible = isinstance(value, str) and len(value) <= LONGEST_CURSOR and value.isascii()
    return value if is_possible else NOT_RECOVERED


class ResumePoints:
    """The map from operation id to cursor in a ``connection_init`` payload's ``resumeFrom``: each is taken once.

    It is bounded, since a socket keeps it for as long as it lives. Clients keep ids of operations that are long gone,
    the newest last, so the last ones are kept. Who is left out would start afresh, and lose without a word what it has
    missed: so everybody who has no cursor of a map that was cut is not recovered.
    """

    __slots__ = ("_cursors", "is_cut")

    def __init__(self) -> None:
        self._cursors: dict[str, str] = {}
        self.is_cut = False
        """Whether there were more than are kept."""

    @classmethod
    def of(cls, value: Any, most: int) -> Self:
        """What the payload holds; what is no map holds nothing."""
        points = cls()
        if isinstance(value, dict):
            found = {name: cursor for name, given in value.items() if (cursor := resume_point(given)) is not None}
            usable = [name for name in found if 1 <= len(name.encode()) <= MAX_ID_BYTES]
            points.is_cut = len(usable) > most
            points._cursors = {name: found[name] for name in usable[-most:]}
        return points

    def take(self, operation_id: str) -> str | None:
        """The cursor of an operation that begins, for the first one with that id."""
        cursor = self._cursors.pop(operation_id, NOT_RECOVERED if self.is_cut else None)
        if not self._cursors:
            # The table of a dictionary stays as large as it was, whatever is taken out.
            self._cursors.clear()
        return cursor


def kept(*cursors: str | None) -> tuple[str, ...]:
    """Those cursors that there are."""
    return tuple(cursor for cursor in cursors if cursor is not None)
