"""Which tokens have been revoked, and who is to be told when theirs is. No I/O: what is stored is told here."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from graphql_api.access.principal import EVERY_SCHOOL, Principal
from graphql_api.moment import Moment

__all__ = ["Holder", "Revocation", "Revocations", "RevocationsStatistics"]


@dataclass(frozen=True, slots=True)
class Revocation:
    """Tokens of a subject that were issued before a moment are refused; those that don't say when they were, too.

    One for a school is about tokens that name this school, whatever others they name; one for every school is about
    all tokens of the subject. So the administrator of a school can't lock out who has nothing to do with it, nor
    whose token is good for every school.
    """

    subject: str
    school: str
    """One school, or ``"*"`` for every school."""
    issued_before: Moment

    def refuses(self, principal: Principal) -> bool:
        """Whether it is about the token of this caller."""
        if principal.subject != self.subject:
            return False
        if self.school != EVERY_SCHOOL and self.school not in principal.visibility.schools:
            return False
        return principal.issued_at is None or principal.issued_at < self.issued_before


@dataclass(frozen=True, slots=True)
class RevocationsStatistics:
    """What is revoked, as this process knows it."""

    revocations: int
    watched: int
    """Open connections that would end with their token."""
    ended: int
    """Connections that ended for it, since the start."""


class Holder(Protocol):
    """Who holds a token and wants to hear of its revocation; told apart by identity."""

    @property
    def principal(self) -> Principal:
        """The caller whose token it is; stays the same while it is watched."""

    def on_revoked(self) -> None:
        """The token has been revoked: called once, and not watched any more."""


class Revocations:
    """All revocations that are in force, by subject and school the furthest-reaching one."""

    def __init__(self) -> None:
        self._moments: dict[str, dict[str, Moment]] = {}
        self._watched: dict[str, dict[Holder, None]] = {}
        self._ended = 0

    def refuse(self, principal: Principal) -> bool:
        """Whether the caller's token is revoked."""
        moments = self._moments.get(principal.subject)
        if not moments:
            return False
        return any(
            Revocation(principal.subject, school, moment).refuses(principal) for school, moment in moments.items()
        )

    def add(self, revocations: Iterable[Revocation]) -> int:
        """Have them in force from now on, and tell those who are watched; returns how many were told.

        They add up: one that reaches less far than a known one changes nothing.
        """
        subjects: dict[str, None] = {}
        for each in revocations:
            moments = self._moments.setdefault(each.subject, {})
            known = moments.get(each.school)
            if known is None or each.issued_before > known:
                moments[each.school] = each.issued_before
                subjects[each.subject] = None
        return sum(self._tell(subject) for subject in subjects)

    def forget(self, issued_before: Moment) -> None:
        """Drop those that reach back only to this moment or further: no such token can be valid any more."""
        for subject, moments in list(self._moments.items()):
            left = {school: moment for school, moment in moments.items() if moment > issued_before}
            if left:
                self._moments[subject] = left
            else:
                del self._moments[subject]

    def watch(self, holder: Holder) -> None:
        """Tell it once, as soon as its token is revoked; one whose token is revoked already is not told."""
        self._watched.setdefault(holder.principal.subject, {})[holder] = None

    def unwatch(self, holder: Holder) -> None:
        """Don't tell it. May be repeated, and called when it has been told."""
        subject = holder.principal.subject
        if watched := self._watched.get(subject):
            watched.pop(holder, None)
            if not watched:
                del self._watched[subject]

    def statistics(self) -> RevocationsStatistics:
        """A snapshot of the counts."""
        return RevocationsStatistics(
            sum(len(moments) for moments in self._moments.values()),
            sum(len(watched) for watched in self._watched.values()),
            self._ended,
        )

    def _tell(self, subject: str) -> int:
        told = 0
        for holder in [each for each in self._watched.get(subject, ()) if self.refuse(each.principal)]:
            # Telling one may make another one leave.
            if holder in self._watched.get(subject, ()):
                self.unwatch(holder)
                holder.on_revoked()
                told += 1
        self._ended += told
        return told
