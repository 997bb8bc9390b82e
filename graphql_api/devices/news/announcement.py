"""What a message of the news says, and how it is written."""

from dataclasses import dataclass

import orjson

from graphql_api.devices.model import Change, Head, Round, Status
from graphql_api.moment import Moment

__all__ = ["Announcement", "decode", "encode"]


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a message says: these versions of the school's log are committed."""

    first: int
    last: int
    timestamp: Moment
    last_report_at: Moment | None
    changes: tuple[Change, ...]
    """The changes from first to last, or none where they did not fit the message."""
    before: Moment | None = None
    """The timestamp of the change before the first; None where it isn't known."""

    def follows(self, head: Head) -> bool:
        """Whether its changes come, at least the last of them, right after the very change that is the head.

        A version alone does not prove it: the log may have been restored, and have come to that version again.
        """
        if not self.changes or not self.first <= head.version + 1 <= self.last:
            return False
        before = self.before if self.first > head.version else self.changes[head.version - self.first].timestamp
        return before == head.timestamp


def encode(news: Round, *, limit: int | None = None) -> str:
    """A round as the text of a message, without the changes where they would take it over ``limit`` bytes.

    Versions follow each other, so only the first is written.
    """
    changes = [(c.device_id, c.status, c.previous, c.last_seen, c.reported_at, c.timestamp) for c in news.changes]
    head = [news.first, news.last, news.changes[-1].timestamp, news.last_report_at, news.before]
    message = orjson.dumps([*head, changes])
    if limit is not None and len(message) > limit:
        message = orjson.dumps([*head, []])
    return message.decode()


def decode(school: str, message: str) -> Announcement:
    """What :func:`encode` wrote.

    Raises:
        ValueError: the message is none of ours.
    """
    try:
        first, last, timestamp, last_report_at, before, rows = orjson.loads(message)
        changes = tuple(
            Change(school, version, row[0], Status(row[1]), Status(row[2]) if row[2] else None, row[3], row[4], row[5])
            for version, row in enumerate(rows, first)
        )
    except (TypeError, IndexError, ValueError) as error:
        raise ValueError("expected the announcement of a round") from error
    return Announcement(first, last, timestamp, last_report_at, changes, before)
