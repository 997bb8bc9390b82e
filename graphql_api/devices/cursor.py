"""Cursors: a point in a school's stream of changes, as text that a client stores and hands back."""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from graphql_api.devices.model import Position
from graphql_api.moment import Moment

__all__ = ["LONGEST_CURSOR", "Cursor", "furthest"]

LONGEST_CURSOR = 1_024
"""Characters: three numbers and a school of at most 128 characters, of four bytes each, in base64."""

# What a database's integer holds.
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """Everything up to and including this version of a school's log has been seen.

    It grants nothing and is not signed; it is checked against the log before it is used. The
    epoch tells one database from another, the timestamp one history of a school from another.
    """

    epoch: str
    school: str
    version: int
    timestamp: Moment

    def encode(self) -> str:
        """The cursor as opaque text: printable ASCII without spaces."""
        plain = f"{self.epoch}.{self.version:x}.{self.timestamp:x}.{self.school}"
        return base64.urlsafe_b64encode(plain.encode()).rstrip(b"=").decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """The cursor that :meth:`encode` made this text of.

        Raises:
            ValueError: it made no such text.
        """
        try:
            if len(text) > LONGEST_CURSOR:
                raise ValueError(text[:20])  # noqa: TRY301 - one way out for all that is no cursor
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            epoch, version, timestamp, school = base64.b64decode(padded, b"-_", validate=True).decode().split(".", 3)
            cursor = cls(epoch, school, _number(version), Moment(_number(timestamp)))
        except (ValueError, binascii.Error):
            raise ValueError("expected a cursor that this service gave out") from None
        if cursor.encode() != text:
            raise ValueError("expected a cursor that this service gave out")
        return cursor

    def is_held(self, position: Position) -> bool:
        """Whether its school's log can go on from here: the version is in it, as it was.

        A cursor is checked, not believed: a restored backup, a pruned or a made-up version are noticed.
        """
        if self.version == 0:
            # Before the first change: no version to compare, but nothing may have been pruned.
            return self.timestamp == 0 and position.floor == 1
        return position.floor <= self.version <= position.head and position.timestamp == self.timestamp


def furthest(texts: Iterable[str], *, epoch: str, school: str) -> Cursor | None:
    """The cursor that is furthest on in this school's log: clients send stale ones on retries.

    A cursor of another database or school counts for nothing, whatever its version; None if no text is left.
    """
    cursors = [cursor for cursor in map(_decoded, texts) if cursor and (cursor.epoch, cursor.school) == (epoch, school)]
    return max(cursors, key=lambda cursor: cursor.version, default=None)


def _decoded(text: str) -> Cursor | None:
    try:
        return Cursor.decode(text)
    except ValueError:
        return None


def _number(text: str) -> int:
    number = int(text, 16)
    if not 0 <= number <= _LARGEST:
        raise ValueError(text)
    return number
