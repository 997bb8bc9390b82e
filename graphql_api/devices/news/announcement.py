"""What a message of the news says, and how it is written."""

from dataclasses import dataclass
from typing import Any

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
        changes = tuple(_change(school, version, *row) for version, row in enumerate(rows, first))
        whole = not changes or len(changes) == last - first + 1
        sound = 0 < first <= last and whole and _are_integers(timestamp, last_report_at or 0, before or 0, first, last)
    except (TypeError, ValueError) as error:
        raise ValueError("expected the announcement of a round") from error
    if not sound:
        raise ValueError("expected the announcement of a round")
    return Announcement(first, last, timestamp, last_report_at, changes, before)


def _change(
    school: str,
    version: int,
    device_id: Any,
    status: Any,
    previous: Any,
    last_seen: Any,
    reported_at: Any,
    timestamp: Any,
) -> Change:
    # As below, written out: it is done a thousand times a round.
    if type(device_id) is not str or not (type(last_seen) is type(reported_at) is type(timestamp) is int):
        raise ValueError(device_id)
    before = None if previous is None else Status(previous)
    moments = Moment(last_seen), Moment(reported_at), Moment(timestamp)
    return Change(school, version, device_id, Status(status), before, *moments)


def _are_integers(*values: Any) -> bool:
    # Not isinstance: in Python true is an integer.
    return all(type(value) is int for value in values)
