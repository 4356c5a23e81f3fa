"""Times of tables that PostgreSQL was told nothing of their zone for; SQLite keeps none."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0023"

TIMES = {
    "detector_promotions": ("said", "taken_back"),
    "detector_shadows": ("started", "stopped"),
    "documents": ("start", "end", "started", "created", "finished", "lease_until"),
    "report_schedules": ("created", "reported"),
    "review_cases": ("taken", "opened", "decided"),
    "review_events": ("at",),
    "review_items": ("decided_at", "event_time"),
    "review_skips": ("at",),
    "rule_list_entries": ("added",),
    "rule_lists": ("made",),
    "rule_versions": ("changed",),
    "rules": ("changed",),
}


def upgrade() -> None:
    change(with_zone=True)


def downgrade() -> None:
    change(with_zone=False)


def change(*, with_zone: bool) -> None:
    """What stands there is in UTC, whichever way it is kept."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, columns in TIMES.items():
        for column in columns:
            op.alter_column(
                table,
                column,
                type_=sa.DateTime(timezone=with_zone),
                postgresql_using=f"\"{column}\" AT TIME ZONE 'UTC'",
            )
