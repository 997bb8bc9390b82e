"""A watch: from changes of a school's log to what its subscribers are told, live and when they catch up."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Generic, TypeVar

from graphql_api.devices.cursor import Cursor
from graphql_api.devices.model import Change, DeviceFilter, Head
from graphql_api.devices.school_log import SchoolLog

__all__ = ["Fresh", "Item", "Standing", "Step", "Watch"]

ItemT_co = TypeVar("ItemT_co", covariant=True)


class Fresh(Enum):
    """Where a subscriber stands who has no place in the log: it is to be told how things stand."""

    ASKED = "it wants to begin with how things stand"
    LOST = "it is not recovered: the log can't bridge what it has missed"


Standing = Head | Cursor | Fresh
"""Where a subscriber stands: after this change of the log; where its cursor says, which is yet to be looked up; or
nowhere in the log."""


@dataclass(frozen=True, slots=True)
class Item(Generic[ItemT_co]):
    """One thing to be told, and where a subscriber stands who has been told."""

    value: ItemT_co
    place: Head | None
    """None inside of what only makes sense as a whole: its rest would be lost."""
    cursor: str | None
    """The place as text."""
    version: int | None = None
    """Of the change that it tells, and nothing else: whoever is told of that change is told the same."""


@dataclass(frozen=True, slots=True)
class Step(Generic[ItemT_co]):
    """A way onward for one who is behind: what to tell, in order, and where that leads."""

    items: Sequence[Item[ItemT_co]]
    place: Head


class Watch(ABC, Generic[ItemT_co]):
    """What one kind of subscription tells of a school.

    It holds no subscriber, and of the log nothing but what a folded state needs.
    """

    tells_time: ClassVar[bool] = False
    """Whether it matters when the health checker has last reported, though no change came of it."""

    def __init__(self, school: str, wanted: DeviceFilter) -> None:
        self.school = school
        self.wanted = wanted
        """Which changes matter; others are never handed to :meth:`live`."""

    def begin(self, log: SchoolLog) -> Head | Fresh:
        """Where a new subscriber stands. State begins with how things stand."""
        del log
        return Fresh.ASKED

    @abstractmethod
    def resume(self, log: SchoolLog, place: Head | None) -> Head | Fresh:
        """Where one stands who comes back from this place; None: the log can't go on from where it was."""

    @abstractmethod
    def live(self, log: SchoolLog, changes: Sequence[Change], head: Head) -> list[Item[ItemT_co]]:
        """What these changes, all that matter up to ``head``, are to those who stand right before them."""

    def skip(self, head: Head) -> None:
        """Up to this head, changes were not handed to :meth:`live`: none who are live now will be any more."""

    def forget(self, head: Head) -> None:
        """The log is another one, which goes up to this head: fold anew."""

    @abstractmethod
    async def behind(self, log: SchoolLog, standing: Head | Fresh) -> Step[ItemT_co]:
        """The next step for one who stands here; it leads onward, or tells how things stand.

        Raises:
            Unavailable: the store can't be reached; to be repeated.
        """
