"""A stream is a place in a school's log, and nothing else.

It asks for what comes after its place, from the recent changes in memory or from the log, so a slow
reader costs no memory.
"""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Generic, TypeVar

from graphql_api.devices.cursor import Cursor, furthest
from graphql_api.devices.feed import Feed
from graphql_api.devices.feeds import Feeds
from graphql_api.devices.model import Change, Head
from graphql_api.devices.store import Store
from graphql_api.errors import Unavailable

__all__ = ["Stream"]

# Changes taken from the log at a time by a stream that is behind.
_PAGE = 1_000

# Seconds before the store is asked again: doubled each time up to the longest, and jittered.
_FIRST_RETRY = 0.1
_LONGEST_RETRY = 5.0

AnswerT = TypeVar("AnswerT")
ItemT = TypeVar("ItemT")


class Stream(ABC, Generic[ItemT]):
    """One subscription's place in a school's stream.

    Use it in this order: :meth:`open`, iterate :meth:`items`, and :meth:`close` in any case. Opening
    and iterating may be cancelled anywhere; closing does not wait for the network.
    """

    def __init__(self, school: str, *, feeds: Feeds, store: Store) -> None:
        self.school = school
        self._feeds = feeds
        self._store = store
        self._head = Head()
        self._resumable = False
        self._settled = False
        self._on_live: Callable[[], None] | None = None
        self._stack = AsyncExitStack()

    @property
    def cursor(self) -> str | None:
        """Resume from here after the item that was handed out last; None while that would lose something."""
        return self._encode(self._head) if self._resumable else None

    @property
    def checkpoint(self) -> str | None:
        """Resume from here while the stream waits for more; None while it is handing something out.

        Moves on also where changes are not wanted, so a quiet subscriber stays resumable.
        """
        return self.cursor if self._settled else None

    async def open(self, resume_from: Sequence[str] = (), on_live: Callable[[], None] | None = None) -> None:
        """Join the school's feed: whatever is recorded from now on will come.

        Waits while the store can't be reached.

        Args:
            resume_from: the cursors that the client has kept, of which the furthest counts: go on
                after it. One that the log can't go on from is no error: the subscriber is not
                recovered, and told how things stand instead.
            on_live: called once, when there is nothing more to hand out for now; ``cursor`` is
                then where the stream stands.
        """
        self._on_live = on_live
        self._feed: Feed = await self._stack.enter_async_context(self._feeds.join(self.school))
        if resume_from:
            self._resume(await self._recover(resume_from))
        else:
            self._begin()
        self._settled = self._resumable

    async def close(self) -> None:
        """Leave the feed. May be called more than once, and without :meth:`open`."""
        await self._stack.aclose()

    @abstractmethod
    def items(self) -> AsyncGenerator[ItemT, None]:
        """The items, in order, without end."""

    def _begin(self) -> None:
        """Take the place that a new stream has before its first item, if it has one."""

    @abstractmethod
    def _resume(self, place: Head | None) -> None:
        """Go on after this place, or, with None, as one who is not recovered."""

    async def _recover(self, texts: Sequence[str]) -> Head | None:
        cursor = furthest(texts, epoch=self._store.epoch, school=self.school)
        if cursor is None:
            return None
        version = cursor.version
        position = await self._ask(lambda: self._store.position(self.school, version))
        recovered = cursor.is_held(position) and self._is_near(position.head - version)
        return Head(version, cursor.timestamp) if recovered else None

    def _is_near(self, changes: int) -> bool:  # noqa: ARG002 - for those streams that hand out every one
        """Whether so many changes can be made good."""
        return True

    def _move(self, head: Head, *, resumable: bool = True) -> None:
        """Stand after this version; not resumable while a part of what leads there is still to come."""
        self._head = head
        self._resumable = resumable
        self._settled = False

    async def _until(self, condition: Callable[[Feed], bool]) -> None:
        """Wait for the feed; whoever makes the stream wait for more has taken what was handed out."""
        self._settled = self._resumable
        if self._on_live and not condition(self._feed):
            on_live, self._on_live = self._on_live, None
            on_live()
        await self._feed.until(condition)

    async def _remembered(self) -> list[Change] | None:
        """All changes after this place, once there are some; None when memory no longer holds them all."""
        version = self._head.version
        await self._until(lambda feed: feed.head.version > version)
        rounds = self._feed.after(version)
        if rounds is None:
            return None
        return [change for news in rounds for change in news.changes if change.version > version]

    async def _further(self) -> list[Change] | None:
        """The next changes after this place; None when the log no longer holds the very next one."""
        if (changes := await self._remembered()) is not None:
            return changes
        version = self._head.version
        page = await self._ask(lambda: self._store.changes(self.school, after=version, limit=_PAGE))
        return page if page and page[0].version == version + 1 else None

    async def _ask(self, question: Callable[[], Awaitable[AnswerT]]) -> AnswerT:
        """Ask the store until it answers: an error would end the subscription for good."""
        pause = _FIRST_RETRY
        while True:
            try:
                return await question()
            except Unavailable:
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret
                pause = min(2 * pause, _LONGEST_RETRY)

    def _encode(self, head: Head) -> str:
        return Cursor(self._store.epoch, self.school, head.version, head.timestamp).encode()
