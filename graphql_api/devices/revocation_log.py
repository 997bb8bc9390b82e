"""Revocations in the store: recorded once, read by every process, pruned when they are about nothing any more.

Every function belongs inside a transaction, and the writing ones inside a write transaction.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from graphql_api.access.revocations import Revocation
from graphql_api.devices.tables import revocation, service
from graphql_api.errors import LimitExceeded
from graphql_api.moment import Moment

__all__ = ["REVOCATIONS_LIMIT", "Place", "Revoked", "prune", "record", "revoked_after"]

REVOCATIONS_LIMIT = 100_000
"""Revocations that are kept at most: every process has them all in memory."""

# One at a time, so that numbers come in the order of the commits. SQLite's transaction has locked the file already.
_LOCK = select(service.c.id).with_for_update()
_END = select(func.max(revocation.c.number), func.count())
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
    newest, count = connection.execute(_END).one()
    if count + len(set(fresh) - known.keys()) > REVOCATIONS_LIMIT:
        raise LimitExceeded(
            f"Expected at most {REVOCATIONS_LIMIT} revocations, but there are {count} already. Nothing was revoked. Set"
            " DEVICE_STATUS_JWT_MAX_LIFETIME, so that old ones are forgotten, or change the key of the tokens."
        )
    for number, school in enumerate(fresh, (newest or 0) + 1):
        connection.execute(_DELETE, {"subject_is": subject, "school_is": school})
        row = {"subject": subject, "school_id": school, "issued_before": issued_before, "recorded_at": now}
        connection.execute(insert(revocation), {"number": number, **row})
    return tuple(Revocation(subject, school, issued_before) for school in fresh)


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
