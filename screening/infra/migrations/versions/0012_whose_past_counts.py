"""Whose rows and mappings count for whom, and the states of detectors.

What an earlier version screened counted for all, and it goes on doing so; a manager can say otherwise. What it trained
is approved at the next start, which can see the detectors: the task is noted here.
"""

import sqlalchemy as sa
from alembic import context, op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column(
        "screenings", sa.Column("counts_for_all", sa.Boolean(), nullable=False, server_default=sa.true())
    )
    op.add_column("screenings", sa.Column("counts_said_by", sa.String(64)))
    op.add_column("screenings", sa.Column("counts_said", sa.DateTime(timezone=True)))
    op.create_index("screenings_by_fingerprint", "screenings", ["fingerprint"])
    _rebuild_mappings()
    op.create_table(
        "detector_states",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(64)),
        sa.Column("said_by", sa.String(128)),
        sa.Column("said", sa.DateTime(timezone=True), nullable=False),
    )
    tasks = op.create_table("start_tasks", sa.Column("name", sa.String(64), primary_key=True))
    if context.config.attributes.get("earlier"):
        op.bulk_insert(tasks, [{"name": "adopt_detectors"}])


def _rebuild_mappings() -> None:
    """Give each mapping an owner: one that was said before is everybody's, whose owner is empty."""
    op.create_table(
        "column_mappings",
        sa.Column("header", sa.String(64), primary_key=True),
        sa.Column("owner", sa.String(64), primary_key=True),
        sa.Column("detector", sa.String(64), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("said_by", sa.String(64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_by", sa.String(64)),
    )
    op.execute(
        "INSERT INTO column_mappings (header, owner, detector, columns, said_by, created) "
        "SELECT header, '', detector, columns, owner, created FROM mappings"
    )
    op.drop_table("mappings")


def downgrade() -> None:
    op.create_table(
        "mappings",
        sa.Column("header", sa.String(64), primary_key=True),
        sa.Column("detector", sa.String(64), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    )
    op.execute(
        "INSERT INTO mappings (header, detector, columns, owner, created) "
        "SELECT header, detector, columns, said_by, created FROM column_mappings WHERE owner = ''"
    )
    op.drop_table("column_mappings")
    op.drop_table("start_tasks")
    op.drop_table("detector_states")
    op.drop_index("screenings_by_fingerprint", "screenings")
    for column in ("counts_said", "counts_said_by", "counts_for_all"):
        op.drop_column("screenings", column)
