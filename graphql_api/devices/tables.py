"""The tables, the same on SQLite and PostgreSQL.

Moments are integers (see :mod:`graphql_api.moment`), statuses the names of their values.
Made and changed by ``migrations/``; a test holds the two together.
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, MetaData, SmallInteger, String, Table, Text
from sqlalchemy.dialects.postgresql import TEXT

__all__ = ["change", "device", "metadata", "revocation", "school", "service"]

metadata = MetaData()

# Ids compare and sort by code point everywhere: SQLite compares the bytes of UTF-8 unless told
# otherwise, PostgreSQL does with collation "C". Pages rely on it.
_ID = Text().with_variant(TEXT(collation="C"), "postgresql")
_STATUS = String(16)
_MOMENT = BigInteger()
_VERSION = BigInteger()

service = Table(
    "service",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("epoch", String(32), nullable=False),
    CheckConstraint("id = 1", name="service_single_row"),
)
"""One row: the epoch, random, made with the database; a cursor of another database is told by it."""

school = Table(
    "school",
    metadata,
    Column("school_id", _ID, primary_key=True),
    Column("head", _VERSION, nullable=False),
    Column("timestamp", _MOMENT, nullable=False),
    Column("floor", _VERSION, nullable=False),
    Column("last_report_at", _MOMENT),
    sqlite_with_rowid=False,
)
"""Where each school's log begins (``floor``) and ends (``head``, of moment ``timestamp``)."""

device = Table(
    "device",
    metadata,
    Column("school_id", _ID, primary_key=True),
    Column("device_id", _ID, primary_key=True),
    Column("status", _STATUS, nullable=False),
    Column("last_seen", _MOMENT, nullable=False),
    Column("changed_at", _MOMENT, nullable=False),
    Column("reported_at", _MOMENT, nullable=False),
    Column("version", _VERSION, nullable=False),
    Index("device_by_version", "school_id", "version"),
    sqlite_with_rowid=False,
)
"""The devices as they stand; ``version`` is that of the last change."""

change = Table(
    "change",
    metadata,
    Column("school_id", _ID, primary_key=True),
    Column("version", _VERSION, primary_key=True, autoincrement=False),
    Column("device_id", _ID, nullable=False),
    Column("status", _STATUS, nullable=False),
    Column("previous_status", _STATUS),
    Column("last_seen", _MOMENT, nullable=False),
    Column("reported_at", _MOMENT, nullable=False),
    Column("timestamp", _MOMENT, nullable=False),
    Column("previous_version", _VERSION, nullable=False, server_default="0"),
    sqlite_with_rowid=False,
)
"""The log: each school's versions from its floor to its head, without holes.

``previous_version`` is that of the same device's change before, 0 for its first one: a device's changes are a chain
that begins at the device's version. An index by device would be written to in 1,000 places for a round of 1,000.
"""

revocation = Table(
    "revocation",
    metadata,
    Column("number", _VERSION, primary_key=True, autoincrement=False),
    Column("subject", _ID, nullable=False),
    Column("school_id", _ID, nullable=False),
    Column("issued_before", _MOMENT, nullable=False),
    Column("recorded_at", _MOMENT, nullable=False),
    Index("revocation_by_subject", "subject", "school_id", unique=True),
)
"""Revoked tokens, of each subject and school (``"*"``: every school) the furthest-reaching revocation.

Numbers come in the order of the commits; with ``recorded_at`` they tell one history from another.
"""
