"""Cursors: a point in a school's stream of changes, as text that a client stores and hands back."""

import base64
import binascii
from dataclasses import dataclass
from typing import Self

from graphql_api.moment import Moment

__all__ = ["Cursor"]

# Four numbers and names of at most 128 characters (four bytes each) in base64.
_LONGEST = 1_024


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
            if len(text) > _LONGEST:
                raise ValueError(text[:20])  # noqa: TRY301 - one way out for all that is no cursor
            padded = text.encode("ascii") + b"=" * (-len(text) % 4)
            epoch, version, timestamp, school = base64.b64decode(padded, b"-_", validate=True).decode().split(".", 3)
            cursor = cls(epoch, school, int(version, 16), Moment(int(timestamp, 16)))
        except (ValueError, binascii.Error):
            raise ValueError("expected a cursor that this service gave out") from None
        if cursor.encode() != text:
            raise ValueError("expected a cursor that this service gave out")
        return cursor
