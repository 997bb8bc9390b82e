"""A school's hub: it takes each round from the school's log, and brings it to the groups that want it."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager

from graphql_api.delivery.audience import Position
from graphql_api.delivery.group import Group
from graphql_api.delivery.interests import Interests
from graphql_api.devices.model import Change, Head
from graphql_api.devices.school_log import SchoolLog

__all__ = ["Hub"]

logger = logging.getLogger(__name__)

# Changes that are brought to the groups at a time, as many as a round has at most: what there is to be told of them is
# found out without a pause, and all of it is kept until everybody has been told.
_MOST = 1_000


class Hub:
    """All groups of one school, in one process. Its task is owned by whoever runs :meth:`run`."""

    def __init__(self, school: str, follow: Callable[[str], AbstractAsyncContextManager[SchoolLog]]) -> None:
        self.school = school
        self.users = 0
        """Groups that are in it, or about to be."""
        self.ready = asyncio.Event()
        self._follow = follow
        self._interests: Interests[Group] = Interests()
        # Those who are told when the health checker has last reported, though nothing has changed.
        self._timekeepers: dict[Group, None] = {}
        self._log: SchoolLog | None = None
        self._position = Position(Head())
        self._resets = 0
        self._has_failed = False

    def __len__(self) -> int:
        return len(self._interests)

    @property
    def log(self) -> SchoolLog:
        """The school's log; there once it is ready."""
        if self._log is None:
            raise RuntimeError("the hub is not ready")
        return self._log

    @property
    def position(self) -> Position:
        """Where the groups stand."""
        return self._position

    def add(self, group: Group) -> None:
        """Bring rounds to a group, from the position on."""
        self._interests.add(group, group.watch.wanted)
        if group.watch.tells_time:
            self._timekeepers[group] = None

    def remove(self, group: Group) -> None:
        """Bring it nothing more."""
        self._interests.remove(group)
        self._timekeepers.pop(group, None)

    def groups(self) -> list[Group]:
        """All that are in it."""
        return self._interests.keys()

    async def run(self) -> None:
        """Follow the school's log until cancelled. Nothing but the cancellation leaves here."""
        # Once and for all: the groups read from this very log, and it ends when it is followed no more.
        async with self._follow(self.school) as log:
            self._log = log
            self._resets = log.resets
            self._position.move(log.head)
            self.ready.set()
            while True:
                try:
                    await self._go_on(log)
                except Exception:  # the owner of the task: it must not die unseen
                    logger.exception("A school's subscribers could not be served, and will be served again.")
                    self._has_failed = True
                    await asyncio.sleep(1)

    async def _go_on(self, log: SchoolLog) -> None:
        if self._has_failed:
            self._make_good()
        await log.until(self._has_news)
        await self._deliver(log)
        if self._has_news(log):
            # Where there was nobody to be told, nothing has been waited for.
            await asyncio.sleep(0)

    def _make_good(self) -> None:
        """Those groups to which a round was not brought have missed it."""
        for group in self.groups():
            if group.audience.moving:
                group.miss(self._position.head)
        self._has_failed = False

    def _has_news(self, log: SchoolLog) -> bool:
        here = self._position.head
        return log.resets != self._resets or log.head != here

    async def _deliver(self, log: SchoolLog) -> None:
        head = log.head
        if log.resets != self._resets:
            self._reset(log)
            return
        changes = log.remembered_after(self._position.head.version, _MOST)
        if changes is None:
            self._miss(head)
            return
        if changes and (last := changes[-1]).version < head.version:
            # Others have their turn before the rest is brought, which is news still.
            head = Head(last.version, last.timestamp, self._position.head.last_report_at)
        touched = self._touched(changes)
        for group in touched:
            group.audience.begin_move()
        self._position.move(head)
        for group, wanted in touched.items():
            await group.deliver(wanted, head)

    def _miss(self, head: Head) -> None:
        groups = self.groups()
        for group in groups:
            # Who has been here already, having read the log, must not count among those who have missed it.
            group.audience.begin_move()
        self._position.move(head)
        for group in groups:
            group.miss(head)

    def _touched(self, changes: Sequence[Change]) -> dict[Group, Sequence[Change]]:
        touched = self._interests.touched(changes)
        for group in self._timekeepers:
            touched.setdefault(group, ())
        return touched

    def _reset(self, log: SchoolLog) -> None:
        log.forget()
        self._position.reset(log.head)
        for group in self.groups():
            group.reset(log.head)
        self._resets = log.resets
