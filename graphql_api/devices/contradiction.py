"""Whether what a store says fits what was told of it before: how a swapped or restored store is noticed. No I/O.

An answer is held against what was known when the question went out, never against what came in between: a head that
was read before a commit and arrives after the news of it contradicts nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from graphql_api.devices.model import Change, Head
from graphql_api.moment import Moment

__all__ = ["Contradiction", "Known", "in_head", "in_page"]


class Contradiction(Enum):
    """Why a school's log can't be the one that was delivered from so far; the values end a sentence."""

    ANOTHER_DATABASE = "it is another database"
    BEHIND = "it ends before changes that were known"
    ANOTHER_CHANGE = "it holds another change where one was delivered"
    PRUNED = "it no longer holds the change that was delivered last"


@dataclass(frozen=True, slots=True)
class Known:
    """What was known of a school when a question about it went to the store."""

    epoch: str
    head: Head
    """The last change delivered."""
    newest: Head
    """The last change known to be committed."""
    resets: int
    """How often the log had been found to be another one."""


def in_head(known: Known, epoch: str, head: Head, timestamp_of: Callable[[int], Moment | None]) -> Contradiction | None:
    """What is wrong with the head of a school in the store of this epoch.

    A head that is further on says nothing of what lies under it: the pages up to it will (:func:`in_page`).
    """
    if epoch != known.epoch:
        return Contradiction.ANOTHER_DATABASE
    if head.version < known.newest.version:
        return Contradiction.BEHIND
    expected = known.head.timestamp if head.version == known.head.version else timestamp_of(head.version)
    return None if expected in {None, head.timestamp} else Contradiction.ANOTHER_CHANGE


def in_page(page: Sequence[Change], head: Head, *, whole: bool, wanted: int) -> Contradiction | None:
    """What is wrong with a page of the log that begins with the change at a head, or earlier.

    Args:
        page: neighbouring changes.
        head: the last change delivered; it may have moved on since the page was asked for.
        whole: the log has no more than this.
        wanted: the last version that was known to be committed when the page was asked for.
    """
    reached = page[-1].version if page else 0
    if whole and reached < wanted:
        return Contradiction.BEHIND
    if not page or reached < head.version:
        return None
    if page[0].version > head.version:
        # Before the first change there is none to be compared.
        return Contradiction.PRUNED if page[0].version > 1 else None
    same = page[head.version - page[0].version].timestamp == head.timestamp
    return None if same else Contradiction.ANOTHER_CHANGE
