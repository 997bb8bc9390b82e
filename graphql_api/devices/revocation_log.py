"""Revocations in the store: recorded once, read by every process, pruned when they are about nothing any more.

Every function belongs inside a transaction, and the writing ones inside a write transaction.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from graphql_api.access.principal import EVERY_SCHOOL
from graphql_api.access.revocations import Revocation
from graphql_api.devices.tables import revocation, service
from graphql_api.errors import LimitExceeded
from graphql_api.moment import Moment

__all__ = [
    "REVOCATIONS_LIMIT",
    "REVOCATIONS_OF_A_SCHOOL",
    "SURE_OF_A_SCHOOL",
    "Place",
    "Revoked",
    "prune",
    "record",
    "revoked_after",
]

REVOCATIONS_LIMIT = 100_000
"""Revocations for every school that are kept at most, and as many for single ones: every process has all in memory."""

REVOCATIONS_OF_A_SCHOOL = 10_000
"""Of the latter, those for one school, at most: its administrator can make up as many subjects as there is room for."""

SURE_OF_A_SCHOOL = 100
"""Revocations that a school may have although all schools together have theirs: others can't take them away."""

# One at a time, so that numbers come in the order of the commits. SQLite's transaction has locked the file already.
_LOCK = select(service.c.id).with_for_update()
_NEWEST = select(func.max(revocation.c.number))
_OF_ALL_SCHOOLS = select(func.count()).where(revocation.c.school_id != EVERY_SCHOOL)
_OF_EACH = (
    select(revocation.c.school_id, func.count().label("taken"))
    .where(revocation.c.school_id.in_(bindparam("schools", expanding=True)))
    .group_by(revocation.c.school_id)
)
_KNOWN = select(revocation.c.school_id, revocation.c.issued_before).where(
    revocation.c.subject == bindparam("subject_is")
)
_DELETE = delete(revocation).where(
    revocation.c.subject == bindparam("subject_is"), revocation.c.school_id == bindparam("school_is")
)
_COLUMNS = (
    revocation.c.number,
    revocation.c.subject,
    revocation.c.school_id,
    revocation.c.issued_before,
    revocation.c.recorded_at,
)
_IS_KNOWN = select(revocation.c.number).where(
    revocation.c.number == bindparam("number"), revocation.c.recorded_at == bindparam("recorded_at")
)
_AFTER = select(*_COLUMNS).where(revocation.c.number > bindparam("number")).order_by(revocation.c.number)
_PRUNE = delete(revocation).where(revocation.c.issued_before <= bindparam("horizon"))


@dataclass(frozen=True, slots=True)
class Place:
    """The newest revocation that was read: its number, and the moment that proves it to be the same one still."""

    number: int
    recorded_at: Moment


@dataclass(frozen=True, slots=True)
class Revoked:
    """What was found behind a place, and the place to go on from; None: there are no revocations at all."""

    revocations: tuple[Revocation, ...]
    place: Place | None


def record(
    connection: Connection, subject: str, schools: Collection[str], issued_before: Moment, now: Moment
) -> tuple[Revocation, ...]:
    """Revoke a subject's tokens in these schools (``"*"``: every school); returns those that reach further than known.

    Raises:
        LimitExceeded: there are too many revocations already: nothing is recorded.
    """
    connection.execute(_LOCK)
    known = {row.school_id: row.issued_before for row in connection.execute(_KNOWN, {"subject_is": subject})}
    fresh = [school for school in schools if school not in known or known[school] < issued_before]
    if new := set(fresh) - known.keys():
        _check_room(connection, new)
    newest = connection.execute(_NEWEST).scalar()
    for number, school in enumerate(fresh, (newest or 0) + 1):
        connection.execute(_DELETE, {"subject_is": subject, "school_is": school})
        row = {"subject": subject, "school_id": school, "issued_before": issued_before, "recorded_at": now}
        connection.execute(insert(revocation), {"number": number, **row})
    return tuple(Revocation(subject, school, issued_before) for school in fresh)


def _check_room(connection: Connection, new: Collection[str]) -> None:
    """See that there is room for one more in each of these schools.

    Raises:
        LimitExceeded: there is none in one of them.
    """
    counts = {row.school_id: row.taken for row in connection.execute(_OF_EACH, {"schools": list(new)})}
    of_all = connection.execute(_OF_ALL_SCHOOLS).scalar_one()
    for school in sorted(new):
        count = counts.get(school, 0)
        if school == EVERY_SCHOOL:
            if count >= REVOCATIONS_LIMIT:
                raise _full(f"{REVOCATIONS_LIMIT} revocations for every school, but there are {count}")
        elif count >= REVOCATIONS_OF_A_SCHOOL:
            raise _full(f"{REVOCATIONS_OF_A_SCHOOL} revocations for one school, but {school!r} has {count}")
        elif of_all + len(new) > REVOCATIONS_LIMIT and count >= SURE_OF_A_SCHOOL:
            raise _full(f"{REVOCATIONS_LIMIT} revocations for all schools together, but there are {of_all}")


def _full(what: str) -> LimitExceeded:
    return LimitExceeded(
        f"Expected at most {what} already. Nothing was revoked. Set DEVICE_STATUS_JWT_MAX_LIFETIME, so that old ones"
        " are forgotten; or change the key of the tokens, which refuses all of them."
    )


def revoked_after(connection: Connection, place: Place | None) -> Revoked:
    """What was revoked after a place; everything, where the store no longer knows it (a backup, another database)."""
    number = 0
    if place and connection.execute(_IS_KNOWN, {"number": place.number, "recorded_at": place.recorded_at}).first():
        number = place.number
    rows = connection.execute(_AFTER, {"number": number}).all()
    found = tuple(Revocation(row.subject, row.school_id, row.issued_before) for row in rows)
    if rows:
        return Revoked(found, Place(rows[-1].number, rows[-1].recorded_at))
    return Revoked(found, place if number else None)


def prune(connection: Connection, horizon: Moment) -> int:
    """Delete the revocations of tokens issued before this moment or earlier; returns how many."""
    return connection.execute(_PRUNE, {"horizon": horizon}).rowcount
