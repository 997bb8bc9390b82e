"""A school's summary: how many devices have which status."""

from collections import Counter
from collections.abc import Sequence

from graphql_api.devices.model import Change, DeviceFilter, Head, Status, Summary
from graphql_api.devices.school_log import SchoolLog
from graphql_api.devices.watches.watch import Fresh, Item, Step, Watch
from graphql_api.errors import Unavailable
from graphql_api.moment import SECOND, Moment

__all__ = ["SummaryWatch"]

# A summary whose counts stay the same is shown again when the last report is this much newer.
_REPORT_STEP = 10 * SECOND

# Readings of the store, each older than what is known to be recorded, before it is left alone for a while.
_MOST_READINGS = 3


class SummaryWatch(Watch[Summary]):
    """The counts now, and after every round that changes them; rounds in between are folded.

    Also whenever the health checker's last report is ten seconds newer than the one last shown. The
    counts are kept as of one version of the log, read from the store once, and changes are folded into them.
    """

    tells_time = True

    def __init__(self, school: str) -> None:
        super().__init__(school, DeviceFilter())
        self._counted: Head | None = None
        """The change up to which the counts hold; None while nothing is counted."""
        self._counts: Counter[Status] = Counter()
        self._passed = 0
        """The version up to which changes have been handed to :meth:`live`; a count from before lacks some."""
        self._shown: Summary | None = None
        """What those who are live were told last."""

    def resume(self, log: SchoolLog, place: Head | None) -> Head | Fresh:  # noqa: ARG002 - wherever one comes from
        """The counts as they stand are all that differs."""
        return Fresh.ASKED

    def live(self, log: SchoolLog, changes: Sequence[Change], head: Head) -> list[Item[Summary]]:
        """The new counts, if they differ from those last shown; or the same with a much newer report."""
        self._passed = head.version
        if self._counted is None or head.version < self._counted.version:
            # Nobody is live; or the counts are those of a round that is about to come, and are told then.
            return []
        for change in changes:
            if change.version > self._counted.version:
                self._fold(change)
        self._counted = head
        if not self._differs():
            return []
        self._shown = self._summary()
        return [_item(log, self._shown)]

    async def behind(self, log: SchoolLog, standing: Head | Fresh) -> Step[Summary]:  # noqa: ARG002 - wherever one stands
        """The counts as they stand."""
        known = self._counted
        for _ in range(_MOST_READINGS):
            if self._is_current(log):
                break
            counted = await log.summary()
            if counted.head.version >= self._passed:
                self._counted, self._counts = counted.head, Counter(counted.counts)
        if self._counted is None:
            raise Unavailable("The counts lag behind the log.")
        if known and self._passed < known.version < self._counted.version:
            # Others, who wait for the group where they were told the older counts, don't know these.
            self._shown = None
        summary = self._summary()
        if self._shown is None and summary.head.version == self._passed:
            self._shown = summary
        return Step([_item(log, summary)], summary.head)

    def skip(self, head: Head) -> None:
        """Count anew, unless the counts hold what was skipped: some may stand there already, having been told them."""
        self._shown = None
        self._passed = head.version
        if self._counted and self._counted.version < head.version:
            self._counted = None

    def forget(self, head: Head) -> None:
        """Count anew."""
        self._counted = self._shown = None
        self._passed = head.version

    def _is_current(self, log: SchoolLog) -> bool:
        if self._counted is None or self._counted.version < log.newest.version:
            return False
        if _later(log.newest.last_report_at, self._counted.last_report_at):
            # A round that changed nothing has moved it, and perhaps no listener was told.
            self._counted = Head(self._counted.version, self._counted.timestamp, log.newest.last_report_at)
        return True

    def _fold(self, change: Change) -> None:
        self._counts[change.status] += 1
        if change.previous:
            self._counts[change.previous] -= 1

    def _differs(self) -> bool:
        if self._shown is None:
            return True
        reported = self._counted.last_report_at if self._counted else None
        before = self._shown.head.last_report_at
        much_later = reported is not None and (before is None or reported >= before + _REPORT_STEP)
        return much_later or +self._counts != self._shown.counts

    def _summary(self) -> Summary:
        return Summary(self._counted or Head(), +self._counts)


def _item(log: SchoolLog, summary: Summary) -> Item[Summary]:
    return Item(summary, summary.head, log.cursor(summary.head))


def _later(one: Moment | None, other: Moment | None) -> bool:
    return one is not None and (other is None or one > other)
