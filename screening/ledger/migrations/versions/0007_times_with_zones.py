"""Times of tables that PostgreSQL was told nothing of their zone for; SQLite keeps none."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

TIMES = (("ledger_file_counts", "decided_at"), ("ledger_partings", "at"), ("ledger_shadow_scores", "written"))


def upgrade() -> None:
    change(with_zone=True)


def downgrade() -> None:
    change(with_zone=False)


def change(*, with_zone: bool) -> None:
    """What stands there is in UTC, whichever way it is kept."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, column in TIMES:
        op.alter_column(
            table,
            column,
            type_=sa.DateTime(timezone=with_zone),
            postgresql_using=f"\"{column}\" AT TIME ZONE 'UTC'",
        )
