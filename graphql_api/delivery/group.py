"""A group: all who ask for the same share one execution, one encoding, and one place in the log."""

import asyncio
import logging
import random
from collections.abc import Sequence
from typing import Any, Protocol

from graphql_api.delivery.audience import Audience, Position, State, Subscriber
from graphql_api.delivery.breath import Breath
from graphql_api.delivery.expiries import Expiries
from graphql_api.delivery.frames import Batch, Rendered, batches
from graphql_api.delivery.rendered import RenderedResults
from graphql_api.delivery.unfinished import Unfinished
from graphql_api.devices.cursor import Cursor
from graphql_api.devices.model import Change, Head
from graphql_api.devices.school_log import SchoolLog
from graphql_api.devices.watches import Fresh, Item, Watch
from graphql_api.errors import Unavailable

__all__ = ["Group", "Renderer"]

logger = logging.getLogger(__name__)

# Seconds before the store is asked again: doubled each time up to the longest, and jittered.
_FIRST_RETRY = 0.1
_LONGEST_RETRY = 5.0

# Subscribers written to between two looks at the clock: some 5 us each.
_STRIDE = 64

# Batches that one subscriber is sent in its turn: others of its group want to come through, too.
_BATCHES_IN_A_TURN = 4


class Renderer(Protocol):
    """Makes results of what there is to be told: for one caller at a time."""

    @property
    def watch(self) -> Watch[Any]:
        """What is watched."""

    async def render(self, item: Item[Any]) -> tuple[bytes, bool]:
        """The result as JSON, and whether it may be kept for others."""

    async def close(self) -> None:
        """Let go of what is held."""


class Group:
    """Those who share an execution, as long as there are any.

    :meth:`deliver` is called by the one task of the school's hub, one round after the other. Those who are behind are
    served by one task of the group's own, which ends when nobody is left to be served.
    """

    def __init__(
        self,
        renderer: Renderer,
        log: SchoolLog,
        position: Position,
        *,
        rendered: RenderedResults,
        unfinished: Unfinished,
        expiries: Expiries,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self.watch = renderer.watch
        self.watch.skip(position.head)
        self.audience = Audience(position, unfinished, self._see_to_due, tells_time=self.watch.tells_time)
        self.sent = -1
        """The version of the newest cursor that all who were live then were sent."""
        self._log = log
        self._renderer = renderer
        self._rendering = asyncio.Lock()
        self._rendered = rendered
        self._expiries = expiries
        self._tasks = tasks
        self._serving: asyncio.Task[None] | None = None
        self._closed = False

    def admit(self, subscriber: Subscriber, resume_from: Sequence[str]) -> None:
        """Take a subscriber in: whatever is recorded from now on will come.

        Args:
            subscriber: in no group yet.
            resume_from: the cursors that its client has kept, of which the furthest counts.
        """
        if not resume_from:
            standing: Head | Cursor | Fresh = self.watch.begin(self._log)
        else:
            cursor = self._log.furthest(resume_from)
            held = cursor is not None and self._log.holds(cursor)
            if cursor is not None and held is None:
                standing = cursor
            else:
                standing = self.watch.resume(self._log, _place(cursor) if cursor and held else None)
        self.audience.join(subscriber, standing)

    def cursor(self, place: Head) -> str:
        """A place as text, for clients to come back to."""
        return self._log.cursor(place)

    def _see_to_due(self) -> None:
        if self.audience.has_due and self._serving is None and not self._closed:
            self._serving = self._tasks.create_task(self._serve(), name="group")

    async def deliver(self, changes: Sequence[Change], head: Head) -> None:
        """Tell all who are live of the changes, so that they stand at ``head``; whoever does not take it falls behind.

        :meth:`Audience.begin_move` was called before.
        """
        before = self.audience.position
        try:
            items = self.watch.live(self._log, changes, head)
            # With nobody live, what they come to would be rendered for nobody.
            if items and self.audience.live():
                found = await self._render(items, self.audience.resets)
                await self._fan_out(found, before)
                self.sent = _told_by(found)
        except Exception:  # whatever is wrong with this group, the others of the school must not suffer
            if not self._closed:
                logger.exception("A round could not be delivered to a group; its subscribers will catch up.")
                self._fall_behind(before, head)
        finally:
            self.audience.end_move()

    def miss(self, head: Head) -> None:
        """The changes up to this head were not told: all who are live fall behind.

        :meth:`Audience.begin_move` was called before.
        """
        self._fall_behind(self.audience.position, head)
        self.audience.end_move()

    def reset(self, head: Head) -> None:
        """The log is another one: nobody is recovered."""
        self._rendered.drop_all(self)
        self.watch.forget(head)
        self.sent = -1
        self.audience.reset()

    async def close(self) -> None:
        """Let go of the execution; nobody is left."""
        self._closed = True
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait([self._serving])
        self._rendered.drop_all(self)
        async with self._rendering:
            await self._renderer.close()

    def _fall_behind(self, before: Head, head: Head) -> None:
        self.watch.skip(head)
        for _, subscribers in self.audience.live():
            for subscriber in subscribers:
                self.audience.fall_behind(subscriber, before)

    async def _fan_out(self, found: Sequence[Batch], before: Head) -> None:
        audience = self.audience
        breath = Breath()
        self._expiries.expire()
        for batch in found:
            for lane, subscribers in audience.live():
                for start in range(0, len(subscribers), _STRIDE):
                    self._write(subscribers[start : start + _STRIDE], batch.pieces(lane), before)
                    if breath.is_due:
                        await breath.take()
                        self._expiries.expire()
            before = batch.place or before

    def _write(self, subscribers: Sequence[Subscriber], pieces: list[bytes], before: Head) -> None:
        live = State.LIVE
        prefix: bytes | None = None
        data = b""
        for subscriber in subscribers:
            # While others came through it may have left, or fallen behind.
            if subscriber.state is not live:
                continue
            way = subscriber.way
            if not way.writable:
                self.audience.fall_behind(subscriber, before)
                continue
            if subscriber.prefix != prefix:
                prefix = subscriber.prefix
                data = prefix.join(pieces)
            try:
                way.write(data)
            except Exception:  # those before it have got this, those after it are to get it
                logger.exception("A subscriber could not be written to, and will be served again.")
                self.audience.fall_behind(subscriber, before)

    async def _render(self, items: Sequence[Item[Any]], resets: int) -> list[Batch]:
        breath = Breath()
        results = []
        for item in items:
            results.append(await self._result(item, resets))
            if breath.is_due:
                await breath.take()
        return batches(results)

    async def _result(self, item: Item[Any], resets: int) -> Rendered:
        key = item.place if item.version is not None else None
        if key is not None and (kept := self._rendered.get(self, key)) is not None:
            return kept  # type: ignore[no-any-return] # what was put there
        async with self._rendering:
            payload, keep = await self._renderer.render(item)
        # A copy: orjson's bytes hold on to the 4 KiB that they were written in, and results are kept by the thousand.
        result = Rendered(bytes(memoryview(payload)), item.place, item.cursor)
        if keep and key is not None and self._is_current(resets):
            self._rendered.put(self, key, result, len(payload))
        return result

    async def _serve(self) -> None:
        pause = _FIRST_RETRY
        breath = Breath()
        try:
            while (subscriber := self.audience.next_due()) is not None:
                standing, resets = subscriber.standing, self.audience.resets
                try:
                    await self._take_turn(subscriber)
                    pause = _FIRST_RETRY
                except Exception as error:  # an error would end the subscription for good
                    if not isinstance(error, Unavailable):
                        logger.exception("A subscriber could not be served, and will be served again.")
                    if resets != self.audience.resets:
                        standing = Fresh.LOST
                    self.audience.served(subscriber, standing, subscriber.rest)
                    await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
                    pause = min(2 * pause, _LONGEST_RETRY)
                if breath.is_due:
                    await breath.take()
        finally:
            self._serving = None

    async def _take_turn(self, subscriber: Subscriber) -> None:
        audience = self.audience
        resets = audience.resets
        standing = subscriber.standing
        if isinstance(standing, Cursor):
            held = await self._log.look_up(standing)
            if resets == audience.resets:
                audience.served(subscriber, self.watch.resume(self._log, _place(standing) if held else None))
            else:
                audience.served(subscriber, Fresh.LOST)
            return
        found, place = subscriber.rest or await self._step(standing)
        if resets != audience.resets:
            audience.served(subscriber, Fresh.LOST)
        elif subscriber.state is State.SERVED:
            self._expiries.expire()
            self._hand_out(subscriber, standing, found, place)

    def _hand_out(self, subscriber: Subscriber, standing: Head | Fresh, found: Sequence[Batch], place: Head) -> None:
        sent = 0
        way = subscriber.way
        while sent < len(found) and sent < _BATCHES_IN_A_TURN and way.writable:
            if subscriber.state is not State.SERVED:
                return
            batch = found[sent]
            try:
                way.write(subscriber.prefix.join(batch.pieces(subscriber.lane)))
            except Exception:
                if not sent:
                    raise
                # What was written before it is not to be written again; this one is tried in a turn of its own.
                break
            sent += 1
        if sent == len(found):
            subscriber.told = max(subscriber.told, _told_by(found))
            self.audience.served(subscriber, place)
        elif sent and (reached := found[sent - 1].place):
            subscriber.told = reached.version
            self.audience.served(subscriber, reached)
        else:
            self.audience.served(subscriber, standing, (found[sent:], place) if sent or subscriber.rest else None)

    async def _step(self, standing: Head | Fresh) -> tuple[Sequence[Batch], Head]:
        """The next step from there, rendered; kept for the next one who stands there."""
        key = (standing.version, standing.timestamp) if isinstance(standing, Head) else standing
        kept: tuple[Sequence[Batch], Head] | None = self._rendered.get(self, ("step", key))
        if kept and (isinstance(standing, Head) or self._is_newest(kept[1])):
            return kept
        resets = self.audience.resets
        step = await self.watch.behind(self._log, standing)
        found = await self._render(step.items, resets)
        if self._is_current(resets):
            self._rendered.put(self, ("step", key), (found, step.place), 2 * sum(batch.size for batch in found))
        return found, step.place

    def _is_newest(self, place: Head) -> bool:
        """Whether what leads to this place is as new as can be; when the last report came counts where it is told."""
        newest = self._log.newest
        if self.watch.tells_time:
            return place == newest
        return (place.version, place.timestamp) == (newest.version, newest.timestamp)

    def _is_current(self, resets: int) -> bool:
        """Whether what was begun when there had been so many resets is still good for others."""
        return resets == self.audience.resets and not self._closed


def _told_by(found: Sequence[Batch]) -> int:
    """The version of the newest cursor in it: that of the last result, which may be well before where it leads."""
    return found[-1].place.version if found and found[-1].place else -1


def _place(cursor: Cursor) -> Head:
    return Head(cursor.version, cursor.timestamp)
