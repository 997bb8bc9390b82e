"""The stream of a school's summary: how many devices have which status."""

from collections import Counter
from collections.abc import AsyncGenerator

from graphql_api.devices.feed import Feed
from graphql_api.devices.model import Change, Head, Status, Summary
from graphql_api.devices.streams.stream import Stream
from graphql_api.moment import SECOND, Moment

__all__ = ["SummaryStream"]

# A summary whose counts stay the same is shown again when the last report is this much newer.
_REPORT_STEP = 10 * SECOND


class SummaryStream(Stream[Summary]):
    """The counts now, and after every round that changes them; rounds in between are folded.

    Also whenever the health checker's last report is ten seconds newer than the one last shown.
    """

    def _resume(self, place: Head | None) -> None:
        """The counts as they stand are all that differs, wherever one comes from."""

    async def items(self) -> AsyncGenerator[Summary, None]:
        """The summaries."""
        current = shown = await self._read()
        yield shown
        while True:
            current = await self._next(current, shown.head.last_report_at)
            if current.counts != shown.counts or _newer(current.head.last_report_at, shown.head.last_report_at):
                shown = current
                yield shown

    async def _read(self) -> Summary:
        summary = await self._ask(lambda: self._store.summary(self.school))
        self._move(summary.head)
        return Summary(summary.head, +Counter(summary.counts))

    async def _next(self, current: Summary, reported: Moment | None) -> Summary:
        version = self._head.version

        def moved(feed: Feed) -> bool:
            return feed.head.version > version or _newer(feed.head.last_report_at, reported)

        await self._until(moved)
        counts = Counter(current.counts)
        if self._feed.head.version > version:
            changes = await self._remembered()
            if changes is None:
                return await self._read()
            self._move(Head(changes[-1].version, changes[-1].timestamp))
            _fold(counts, changes)
        last_report_at = self._feed.head.last_report_at
        return Summary(Head(self._head.version, self._head.timestamp, last_report_at), +counts)


def _fold(counts: Counter[Status], changes: list[Change]) -> None:
    for change in changes:
        counts[change.status] += 1
        if change.previous:
            counts[change.previous] -= 1


def _newer(moment: Moment | None, shown: Moment | None) -> bool:
    if moment is None:
        return False
    return shown is None or moment >= shown + _REPORT_STEP
