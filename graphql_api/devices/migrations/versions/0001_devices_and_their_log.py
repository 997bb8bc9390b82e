"""The devices of the schools, the log of their changes, and the epoch of this database."""

import secrets

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TEXT

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.Text().with_variant(TEXT(collation="C"), "postgresql")
_STATUS = sa.String(16)


def upgrade() -> None:
    """Make the four tables, and draw the epoch."""
    service = op.create_table(
        "service",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.String(32), nullable=False),
        sa.CheckConstraint("id = 1", name="service_single_row"),
    )
    op.bulk_insert(service, [{"id": 1, "epoch": secrets.token_hex(8)}])
    op.create_table(
        "school",
        sa.Column("school_id", _ID, primary_key=True),
        sa.Column("head", sa.BigInteger, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sa.Column("floor", sa.BigInteger, nullable=False),
        sa.Column("last_report_at", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    _create_device()
    _create_change()


def _create_device() -> None:
    op.create_table(
        "device",
        sa.Column("school_id", _ID, primary_key=True),
        sa.Column("device_id", _ID, primary_key=True),
        sa.Column("status", _STATUS, nullable=False),
        sa.Column("last_seen", sa.BigInteger, nullable=False),
        sa.Column("changed_at", sa.BigInteger, nullable=False),
        sa.Column("reported_at", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("device_by_version", "device", ["school_id", "version"])


def _create_change() -> None:
    op.create_table(
        "change",
        sa.Column("school_id", _ID, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("device_id", _ID, nullable=False),
        sa.Column("status", _STATUS, nullable=False),
        sa.Column("previous_status", _STATUS),
        sa.Column("last_seen", sa.BigInteger, nullable=False),
        sa.Column("reported_at", sa.BigInteger, nullable=False),
        sa.Column("timestamp", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("change_by_device", "change", ["school_id", "device_id", "version"])
