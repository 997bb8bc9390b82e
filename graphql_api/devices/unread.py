"""What is known of the part of a school's log that was not read yet."""

from collections.abc import Sequence

from graphql_api.devices.model import Change, Head
from graphql_api.moment import Moment

__all__ = ["UNREAD_LIMIT", "Unread"]

UNREAD_LIMIT = 1_000
"""Places that are remembered at a time."""


class Unread:
    """Places beyond the last change read at which there is a change for certain: it was committed, or somebody saw it.

    Subscribers may stand there already, having been told how things stood. So when the log is read up to there, it
    must hold these very changes, or it is another log.

    Beyond :data:`UNREAD_LIMIT` no more are taken in: what is remembered goes before what comes next, and a log that is
    another one contradicts the former, too, unless all of that came after it was replaced.
    """

    def __init__(self) -> None:
        self._timestamps: dict[int, Moment] = {}

    def __len__(self) -> int:
        return len(self._timestamps)

    def add(self, place: Head) -> None:
        """There is a change at this place. Of two that were claimed to be there the first one counts."""
        if len(self._timestamps) < UNREAD_LIMIT:
            self._timestamps.setdefault(place.version, place.timestamp)

    def timestamp_of(self, version: int) -> Moment | None:
        """Of the change with this version, if it is remembered."""
        return self._timestamps.get(version)

    def contradicts(self, changes: Sequence[Change]) -> bool:
        """Whether one of these neighbouring changes is another one than was known to be there."""
        first, end = changes[0].version, changes[-1].version + 1
        return any(
            first <= version < end and changes[version - first].timestamp != timestamp
            for version, timestamp in self._timestamps.items()
        )

    def read(self, version: int) -> None:
        """All up to this version was read."""
        for each in [each for each in self._timestamps if each <= version]:
            del self._timestamps[each]

    def clear(self) -> None:
        """The log is another one."""
        self._timestamps.clear()
