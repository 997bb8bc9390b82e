"""Subscribers without a wire: they share as clients do, and keep what they are told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from graphql_api.delivery.expiries import Expiries
from graphql_api.delivery.frames import PLAIN_TEXTS, texts_of
from graphql_api.delivery.sharing import Member, Sharing
from graphql_api.devices.cursor import Cursor
from graphql_api.devices.model import Head
from graphql_api.moment import now

# Seconds until what is waited for will not come any more.
_LONGEST = 30


@dataclass(frozen=True)
class Told:
    """One result as it arrived."""

    value: Any
    cursor: str | None


class Way:
    """A client's end: it takes everything, and is writable as long as the test says so."""

    def __init__(self, take: Callable[[str], None]):
        self.writable = True
        self.room: int | None = None
        """Writes after which it is not writable any more; None: as many as come."""
        self.fails_after: int | None = None
        """Writes after which one fails; None: none does."""
        self._take = take

    def write(self, data: bytes) -> None:
        if self.fails_after is not None:
            if not self.fails_after:
                self.fails_after = None
                raise RuntimeError("closed under us")
            self.fails_after -= 1
        for text in texts_of(data):
            self._take(text)
        if self.room is not None:
            self.room -= 1
            self.writable = self.room > 0


class Listener(Member):
    """A subscriber who keeps what it is told."""

    def __init__(self, read: Callable[[str], Told]):
        super().__init__(Way(self._take), PLAIN_TEXTS)
        self.received: list[Any] = []
        """The values of all that has arrived."""
        self.cursor: str | None = None
        """The newest one that it was told: with a result, or without."""
        self.began_at: str | None = None
        """Where it was level for the first time: from there on everything comes."""
        self.live = asyncio.Event()
        """Set when whatever is recorded from now on will come."""
        self._read = read
        self._arrived: asyncio.Queue[Told | Exception] = asyncio.Queue()

    async def result(self) -> Told:
        """The next result; raises what the subscriber was refused with."""
        async with asyncio.timeout(_LONGEST):
            found = await self._arrived.get()
        if isinstance(found, Exception):
            raise found
        return found

    async def next(self) -> Any:
        """The next result's value."""
        return (await self.result()).value

    async def until_level_with(self, store) -> None:
        """Wait until it is live where the store's log of its school ends."""
        school = self.group.watch.school
        head = (await store.heads([school])).get(school, Head())
        async with asyncio.timeout(_LONGEST):
            while (place := self.checkpoint()) is None or place.version < head.version:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.001)

    def checkpoint(self):
        """Where it stands, while nothing is on its way."""
        return self.audience.checkpoint(self) if self.audience else None

    def stall(self) -> None:
        """Take nothing more, until :meth:`drain`."""
        self.way.writable = False

    def drain(self) -> None:
        """Go on, as sessions do when their client has taken everything."""
        self.way.writable = True
        self.way.room = None
        if self.audience:
            self.audience.drained(self)

    def on_level(self, place) -> None:
        self.cursor = self.group.cursor(place)
        self.began_at = self.began_at or self.cursor
        self.live.set()

    def on_refused(self, error: Exception) -> None:
        self._arrived.put_nowait(error)

    def _take(self, text: str) -> None:
        told = self._read(text)
        self.received.append(told.value)
        self.cursor = told.cursor or self.cursor
        self._arrived.put_nowait(told)


class _Keeping:
    """Renders what there is to be told as a number, by which it is found again."""

    def __init__(self, watch, listening: "Listening"):
        self.watch = watch
        self._listening = listening

    async def render(self, item):
        if self._listening.failing:
            self._listening.failing -= 1
            raise ZeroDivisionError
        kept = self._listening.kept
        kept.append(Told(item.value, item.cursor))
        return str(len(kept) - 1).encode(), True

    async def close(self) -> None:
        """Nothing is held."""


class Listening:
    """All listeners of one sharing."""

    def __init__(self, sharing: Sharing):
        self.sharing = sharing
        self.kept: list[Told] = []
        """All that was rendered."""
        self.failing = 0
        """Renderings that are going to fail."""

    def begin(self, watch, resume_from: Sequence[str] = ()) -> Listener:
        """A listener who shares with all who watch the same."""

        async def open_renderer():
            return _Keeping(watch, self)

        listener = Listener(lambda text: self.kept[int(text)])
        key = (type(watch), watch.school, watch.wanted, getattr(watch, "_snapshot", None))
        self.sharing.subscribe(key, open_renderer, listener, resume_from)
        return listener

    @contextlib.contextmanager
    def to(self, watch, resume_from: Sequence[str] = ()) -> Iterator[Listener]:
        """A listener, who may still be waiting to be let in."""
        with leaving(self.sharing, self.begin(watch, resume_from)) as listener:
            yield listener

    @contextlib.asynccontextmanager
    async def live(self, watch, resume_from: Sequence[str] = ()) -> AsyncIterator[Listener]:
        """A listener to whom whatever is recorded from now on will come."""
        with self.to(watch, resume_from) as listener:
            async with asyncio.timeout(_LONGEST):
                await listener.live.wait()
            yield listener


@contextlib.contextmanager
def leaving(sharing: Sharing, listener: Listener) -> Iterator[Listener]:
    """A subscriber who leaves in the end."""
    try:
        yield listener
    finally:
        sharing.unsubscribe(listener)


@contextlib.asynccontextmanager
async def listening_to(
    service, *, max_groups=1_000, rendered_limit=10**6, unfinished_limit=10**6
) -> AsyncIterator[Listening]:
    """The real sharing over a service."""
    expiries = Expiries(now)
    with contextlib.closing(expiries):
        async with Sharing(
            service=service,
            expiries=expiries,
            max_groups=max_groups,
            rendered_limit=rendered_limit,
            unfinished_limit=unfinished_limit,
        ) as sharing:
            yield Listening(sharing)


def version_of(cursor: str) -> int:
    """Where a cursor points."""
    return Cursor.decode(cursor).version


def graphql_listener(
    sharing: Sharing, key: Hashable, open_renderer: Callable[[], Any], resume_from: Sequence[str] = ()
) -> Listener:
    """A subscriber of a GraphQL operation; what it is told are responses."""

    def read(text: str) -> Told:
        response = orjson.loads(text)
        return Told(response, response.get("extensions", {}).get("cursor"))

    listener = Listener(read)
    sharing.subscribe(key, open_renderer, listener, resume_from)
    return listener
