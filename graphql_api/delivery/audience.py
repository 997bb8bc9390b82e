"""The subscribers of one group: who is live, who is behind, and whose turn it is. A state machine without I/O.

A group has a position in its school's log, which it shares with all groups that have nothing to tell in between. A
subscriber is *live* when it stands there: it holds nothing of its own, and gets what the group gets. In whatever other
way it came to stand elsewhere (it resumes, joins with a snapshot, was not recovered, or its socket was not writable as
the group went on), it is *behind*, and catches up step by step from where it stands, until it stands where the group
does. Between finding that and making it live nothing else can happen: none of these calls waits.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from graphql_api.delivery.frames import Batch, Lane
from graphql_api.delivery.unfinished import Unfinished
from graphql_api.devices.model import Head
from graphql_api.devices.watches import Fresh, Standing

__all__ = ["Audience", "AudienceStatistics", "Position", "State", "Subscriber", "Way"]


class State(Enum):
    """What a subscriber waits for."""

    LIVE = auto()
    """For what the group gets next."""
    DUE = auto()
    """For its turn to take a step."""
    SERVED = auto()
    """It is taking a step."""
    STALLED = auto()
    """For its client to take what it was sent."""
    AHEAD = auto()
    """For the group to come to where it stands, or to finish going on."""
    GONE = auto()
    """For nothing: it has left, or was never there."""


class Way(Protocol):
    """How what is written gets to a client."""

    writable: bool
    """Whether the client has taken what was written."""

    @property
    def write(self) -> Callable[[bytes], None]:
        """Sends the pieces of a batch, joined."""


class Subscriber(ABC):
    """One subscriber's cursor, and its way to the client. The audience moves it; nobody else does."""

    __slots__ = ("audience", "lane", "prefix", "rest", "standing", "state", "told", "way")

    def __init__(self, way: Way, lane: Lane, prefix: bytes = b"") -> None:
        self.way = way
        self.lane = lane
        self.prefix = prefix
        """What the pieces of a batch are joined by."""
        self.audience: Audience | None = None
        self.state = State.GONE
        self.standing: Standing = Fresh.ASKED
        """Where it stands, unless it is live."""
        self.rest: tuple[Sequence[Batch], Head] | None = None
        """What it has not got yet of what only makes sense as a whole, and where that leads."""
        self.told = -1
        """The version of the newest cursor that its client was sent while it was not live."""

    @abstractmethod
    def on_level(self, place: Head) -> None:
        """It has got all there is for now, up to this place."""


@dataclass(frozen=True, slots=True)
class AudienceStatistics:
    """How many subscribers wait for what."""

    live: int = 0
    behind: int = 0
    """Due, being served, or ahead."""
    stalled: int = 0


class Position:
    """Where the groups of a school stand, and whose subscribers wait for it to move."""

    __slots__ = ("expectant", "head")

    def __init__(self, head: Head) -> None:
        self.head = head
        self.expectant: dict[Audience, None] = {}

    def move(self, head: Head) -> None:
        """All groups that are not held back stand here now."""
        self.head = head
        for audience in list(self.expectant):
            audience.settle_ahead()

    def reset(self, head: Head) -> None:
        """The log is another one: nobody waits for what was to come, and all audiences are to be reset."""
        self.head = head
        self.expectant.clear()


class Audience:
    """All subscribers of a group."""

    def __init__(
        self, position: Position, unfinished: Unfinished, on_due: Callable[[], None], *, tells_time: bool = False
    ) -> None:
        self._shared = position
        # Whether they are told when the health checker has last reported, though nothing has changed.
        self._tells_time = tells_time
        self._unfinished = unfinished
        # Told whenever somebody waits for a turn, however that has come about.
        self._on_due = on_due
        self._held: Head | None = None
        # By lane, so that what a lane has in common is looked up once.
        self._live: dict[Lane, dict[Subscriber, None]] = {}
        self._others: dict[Subscriber, None] = {}
        # In the order in which their turns come; who leaves is let go at once, however long the others wait.
        self._due: OrderedDict[Subscriber, None] = OrderedDict()
        self.resets = 0
        """How often all were told to begin anew: what was being prepared for anybody holds no longer."""

    def __len__(self) -> int:
        return len(self._others) + sum(map(len, self._live.values()))

    def __iter__(self) -> Iterator[Subscriber]:
        for subscribers in list(self._live.values()):
            yield from list(subscribers)
        yield from list(self._others)

    @property
    def position(self) -> Head:
        """Where those stand who are live."""
        return self._held or self._shared.head

    @property
    def moving(self) -> bool:
        """Whether the group is going on: some have got what comes next, others not yet."""
        return self._held is not None

    @property
    def has_due(self) -> bool:
        """Whether somebody waits for a turn."""
        return bool(self._due)

    def statistics(self) -> AudienceStatistics:
        """A snapshot of the counts."""
        stalled = sum(subscriber.state is State.STALLED for subscriber in self._others)
        live = sum(map(len, self._live.values()))
        return AudienceStatistics(live, len(self._others) - stalled, stalled)

    def live(self) -> list[tuple[Lane, list[Subscriber]]]:
        """Those who are live now, by lane."""
        return [(lane, list(subscribers)) for lane, subscribers in self._live.items()]

    def join(self, subscriber: Subscriber, standing: Standing) -> None:
        """Take a subscriber in, who stands there."""
        subscriber.audience = self
        subscriber.standing = standing
        self._others[subscriber] = None
        self._settle(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Let a subscriber go. May be repeated."""
        self._others.pop(subscriber, None)
        self._due.pop(subscriber, None)
        self._unlive(subscriber)
        self._unfinished.release(subscriber)
        subscriber.state = State.GONE
        subscriber.rest = None
        subscriber.audience = None
        if not len(self):
            self._shared.expectant.pop(self, None)

    def begin_move(self) -> None:
        """The group stays here until :meth:`end_move`, and nobody becomes live, so that nobody is passed over."""
        self._held = self._shared.head

    def end_move(self) -> None:
        """All who are live have been told: they stand where the school's groups stand."""
        self._held = None
        self.settle_ahead()

    def settle_ahead(self) -> None:
        """The position has moved: look whether it is where somebody waits for it."""
        if self._held is not None:
            return
        self._shared.expectant.pop(self, None)
        for subscriber in [each for each in self._others if each.state is State.AHEAD]:
            # Telling one of them where it stands may have made another one leave.
            if subscriber.state is State.AHEAD:
                self._settle(subscriber)

    def fall_behind(self, subscriber: Subscriber, place: Head) -> None:
        """A live one could not be told what comes after this place."""
        if self._unlive(subscriber):
            self._others[subscriber] = None
            subscriber.standing = place
            self._settle(subscriber)

    def drained(self, subscriber: Subscriber) -> None:
        """A subscriber's client has taken what it was sent."""
        if subscriber.state is State.STALLED:
            self._settle(subscriber)

    def reset(self) -> None:
        """The log is another one: nobody's place is in it."""
        self.resets += 1
        self._held = None
        for subscriber in self:
            self._unlive(subscriber)
            self._others[subscriber] = None
            subscriber.standing = Fresh.LOST
            subscriber.rest = None
            # Versions of the other log say nothing of those of this one.
            subscriber.told = -1
            if subscriber.state is not State.SERVED:
                self._settle(subscriber)

    def next_due(self) -> Subscriber | None:
        """The one whose turn it is to take a step: :meth:`served` ends it."""
        while self._due:
            subscriber, _ = self._due.popitem(last=False)
            if subscriber.state is not State.DUE:
                continue
            if subscriber.way.writable:
                subscriber.state = State.SERVED
                return subscriber
            self._stall(subscriber)
        return None

    def served(
        self, subscriber: Subscriber, standing: Standing, rest: tuple[Sequence[Batch], Head] | None = None
    ) -> None:
        """A turn has ended, and has brought the subscriber there."""
        if subscriber.state is State.SERVED:
            subscriber.standing = standing
            subscriber.rest = rest
            self._settle(subscriber)

    def checkpoint(self, subscriber: Subscriber) -> Head | None:
        """Where a subscriber stands for whom nothing is on its way; None for all others."""
        return self.position if subscriber.state is State.LIVE and self._held is None else None

    def _settle(self, subscriber: Subscriber) -> None:
        """Find out what a subscriber who isn't live waits for."""
        self._unfinished.release(subscriber)
        if self._has_missed_time(subscriber.standing):
            subscriber.standing = Fresh.ASKED
        standing = subscriber.standing
        here = self.position.version
        if isinstance(standing, Head) and subscriber.rest is None and standing.version >= here:
            if self.moving or standing.version > here:
                subscriber.state = State.AHEAD
                self._shared.expectant[self] = None
            else:
                self._enliven(subscriber)
            subscriber.on_level(standing)
        elif subscriber.way.writable:
            subscriber.state = State.DUE
            self._due[subscriber] = None
            self._on_due()
        else:
            self._stall(subscriber)

    def _has_missed_time(self, standing: Standing) -> bool:
        """Whether one who stands there knows all changes, but not of the last report, which moves no version."""
        here = self.position
        if not self._tells_time or not isinstance(standing, Head) or standing.version != here.version:
            return False
        return (standing.last_report_at or 0) < (here.last_report_at or 0)

    def _stall(self, subscriber: Subscriber) -> None:
        subscriber.state = State.STALLED
        if subscriber.rest is None:
            return
        batches, _ = subscriber.rest
        # Its last part stands for the whole, however much of it each one has got already.
        if not self._unfinished.hold(subscriber, batches[-1], sum(batch.size for batch in batches)):
            # It begins anew when the client takes something again, whatever else happens until then.
            subscriber.rest = None
            if isinstance(subscriber.standing, Head):
                subscriber.standing = Fresh.LOST

    def _enliven(self, subscriber: Subscriber) -> None:
        del self._others[subscriber]
        self._live.setdefault(subscriber.lane, {})[subscriber] = None
        subscriber.state = State.LIVE

    def _unlive(self, subscriber: Subscriber) -> bool:
        lane = self._live.get(subscriber.lane)
        if lane is None or subscriber not in lane:
            return False
        del lane[subscriber]
        if not lane:
            del self._live[subscriber.lane]
        subscriber.state = State.AHEAD
        return True
