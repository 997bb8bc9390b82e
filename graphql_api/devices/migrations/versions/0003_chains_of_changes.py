"""Each change names its device's change before it, where an index by device was."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_FILL = """
UPDATE change SET previous_version = chain.previous
FROM (
    SELECT school_id, version, LAG(version, 1, 0) OVER (PARTITION BY school_id, device_id ORDER BY version) AS previous
    FROM change
) AS chain
WHERE change.school_id = chain.school_id AND change.version = chain.version
"""


def upgrade() -> None:
    """Link the changes that there are, and drop the index."""
    op.add_column("change", sa.Column("previous_version", sa.BigInteger, nullable=False, server_default="0"))
    op.execute(_FILL)
    op.drop_index("change_by_device", "change")
