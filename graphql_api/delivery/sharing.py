"""Who asks for the same shares a group: found, made, and let go."""

import asyncio
import logging
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self

from graphql_api.delivery.audience import Subscriber, Way
from graphql_api.delivery.expiries import Expiries
from graphql_api.delivery.frames import Lane
from graphql_api.delivery.group import Group, Renderer
from graphql_api.delivery.hub import Hub
from graphql_api.delivery.rendered import RenderedResults, RenderedStatistics
from graphql_api.delivery.unfinished import Unfinished, UnfinishedStatistics
from graphql_api.devices.service import DeviceService
from graphql_api.errors import LimitExceeded

__all__ = ["Member", "Sharing", "SharingStatistics"]

logger = logging.getLogger(__name__)


class Member(Subscriber):
    """A subscriber who shares."""

    __slots__ = ("share",)

    def __init__(self, way: Way, lane: Lane, prefix: bytes = b"") -> None:
        super().__init__(way, lane, prefix)
        self.share: _Share | None = None

    def on_admitted(self) -> None:
        """It is about to be told: whatever is recorded from now on will come. It may leave instead."""

    @abstractmethod
    def on_refused(self, error: Exception) -> None:
        """There is nothing to subscribe to: it is in no group, and will not be."""

    @property
    def group(self) -> Group | None:
        """Those whom it shares with; None until it is known what is asked for."""
        return self.share.group if self.share else None


class _Share:
    """A group, or the making of one."""

    __slots__ = ("group", "hub", "key", "task", "waiting")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.group: Group | None = None
        self.hub: Hub | None = None
        self.waiting: dict[Member, Sequence[str]] = {}
        self.task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class SharingStatistics:
    """Who shares what in this process."""

    groups: int = 0
    live: int = 0
    behind: int = 0
    """Subscribers who catch up."""
    stalled: int = 0
    """Subscribers whose clients don't take what they were sent."""
    refused_groups: int = 0
    """Groups that were one too many for their school, since the start."""
    rendered: RenderedStatistics = field(default_factory=RenderedStatistics)
    unfinished: UnfinishedStatistics = field(default_factory=UnfinishedStatistics)

    @property
    def subscribers(self) -> int:
        """All who are in a group."""
        return self.live + self.behind + self.stalled


class Sharing:
    """All groups of this process, and the hubs of their schools; an async context manager that owns their tasks.

    A group is made with its first member, by a task of its own, so that nobody's leaving cancels it for others, and
    goes with its last one.
    """

    def __init__(
        self,
        *,
        service: DeviceService,
        expiries: Expiries,
        max_groups: int,
        rendered_limit: int,
        unfinished_limit: int,
    ) -> None:
        self._service = service
        self._expiries = expiries
        self._max_groups = max_groups
        self._rendered = RenderedResults(rendered_limit)
        self._unfinished = Unfinished(unfinished_limit)
        self._shares: dict[Hashable, _Share] = {}
        self._hubs: dict[str, tuple[Hub, asyncio.Task[None]]] = {}
        self._refused_groups = 0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._tasks = await stack.enter_async_context(asyncio.TaskGroup())
            stack.callback(self._end)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def subscribe(
        self,
        key: Hashable,
        open_renderer: Callable[[], Awaitable[Renderer]],
        member: Member,
        resume_from: Sequence[str] = (),
    ) -> None:
        """Join those with this key; whatever is recorded once it has been told that it is level will come.

        Args:
            key: equal for those, and only those, who ask for the same and may see the same.
            open_renderer: makes what renders for all of them, if the member is the first. What it raises is told to
                all who wait for it.
            member: in no group yet.
            resume_from: the cursors that the client has kept, of which the furthest counts.
        """
        share = self._shares.get(key)
        if share is None:
            share = self._shares[key] = _Share(key)
            share.task = self._tasks.create_task(self._open(share, open_renderer), name="opening a group")
        member.share = share
        if share.group:
            self._admit(share.group, member, resume_from)
        else:
            share.waiting[member] = resume_from

    def unsubscribe(self, member: Member) -> None:
        """Leave. May be repeated."""
        share, member.share = member.share, None
        if share is None:
            return
        share.waiting.pop(member, None)
        if member.audience:
            member.audience.leave(member)
        if not share.waiting and not (share.group and len(share.group.audience)):
            self._close(share)

    def statistics(self) -> SharingStatistics:
        """A snapshot of the counts."""
        audiences = [share.group.audience.statistics() for share in self._shares.values() if share.group]
        return SharingStatistics(
            groups=len(self._shares),
            live=sum(each.live for each in audiences),
            behind=sum(each.behind for each in audiences),
            stalled=sum(each.stalled for each in audiences),
            refused_groups=self._refused_groups,
            rendered=self._rendered.statistics(),
            unfinished=self._unfinished.statistics(),
        )

    async def _open(self, share: _Share, open_renderer: Callable[[], Awaitable[Renderer]]) -> None:
        renderer = None
        try:
            renderer = await open_renderer()
            share.hub = self._enter_hub(renderer.watch.school)
            await share.hub.ready.wait()
        except BaseException as error:
            self._leave_hub(share)
            if renderer:
                await renderer.close()
            if not isinstance(error, Exception):
                raise
            self._refuse(share, error)
            return
        share.group = Group(
            renderer,
            share.hub.log,
            share.hub.position,
            rendered=self._rendered,
            unfinished=self._unfinished,
            expiries=self._expiries,
            tasks=self._tasks,
        )
        share.hub.add(share.group)
        # One by one: admitting one may close another's connection, and the share goes with the last who waits or is in.
        while share.waiting:
            member, resume_from = next(iter(share.waiting.items()))
            try:
                self._admit(share.group, member, resume_from)
            except Exception as error:  # one of them alone is to suffer: this task is all others' too
                logger.exception("A subscriber could not be let into its group.")
                self.unsubscribe(member)
                member.on_refused(error)
            share.waiting.pop(member, None)

    @staticmethod
    def _admit(group: Group, member: Member, resume_from: Sequence[str]) -> None:
        member.on_admitted()
        if member.share:
            group.admit(member, resume_from)

    def _refuse(self, share: _Share, error: Exception) -> None:
        if self._shares.get(share.key) is share:
            del self._shares[share.key]
        waiting, share.waiting = share.waiting, {}
        for member in waiting:
            member.share = None
            member.on_refused(error)

    def _close(self, share: _Share) -> None:
        if self._shares.get(share.key) is not share:
            return
        del self._shares[share.key]
        if share.group is None:
            if share.task:
                share.task.cancel()
            return
        if share.hub:
            share.hub.remove(share.group)
        self._leave_hub(share)
        self._tasks.create_task(share.group.close(), name="closing a group")

    def _enter_hub(self, school: str) -> Hub:
        found = self._hubs.get(school)
        if found and found[0].users >= self._max_groups:
            self._refused_groups += 1
            raise LimitExceeded(
                f"Expected at most {self._max_groups} different subscriptions of one school at a time, but there are as"
                " many already. Ask for what others ask for, or try again later."
            )
        if not found:
            hub = Hub(school, self._service.follow)
            found = self._hubs[school] = hub, self._tasks.create_task(hub.run(), name="hub")
        found[0].users += 1
        return found[0]

    def _leave_hub(self, share: _Share) -> None:
        hub, share.hub = share.hub, None
        if hub is None:
            return
        hub.users -= 1
        if not hub.users:
            self._hubs.pop(hub.school)[1].cancel()

    def _end(self) -> None:
        for share in self._shares.values():
            if share.task:
                share.task.cancel()
            if share.group:
                self._tasks.create_task(share.group.close(), name="closing a group")
        # Connections that outlast this have nothing left to leave.
        self._shares.clear()
        for _, task in self._hubs.values():
            task.cancel()
