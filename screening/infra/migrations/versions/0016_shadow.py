"""Detectors in the shadow of others, and detectors in the place of others."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
RUNS = "stopped IS NULL"
HOLDS = "taken_back IS NULL"


def upgrade() -> None:
    op.create_table(
        "detector_shadows",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("first", sa.String(64), nullable=False),
        sa.Column("first_fingerprint", sa.String(64), nullable=False),
        sa.Column("shadow", sa.String(64), nullable=False),
        sa.Column("shadow_fingerprint", sa.String(64), nullable=False),
        sa.Column("columns", sa.JSON, nullable=False),
        sa.Column("lacking", sa.JSON, nullable=False),
        sa.Column("started", sa.DateTime, nullable=False),
        sa.Column("started_by", sa.String(128), nullable=False),
        sa.Column("stopped", sa.DateTime),
        sa.Column("stopped_by", sa.String(128)),
        sa.Column("reason", sa.String(300)),
    )
    op.create_table(
        "detector_promotions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("replaced", sa.String(64), nullable=False),
        sa.Column("promoted", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("said_by", sa.String(128), nullable=False),
        sa.Column("said", sa.DateTime, nullable=False),
        sa.Column("taken_back_by", sa.String(128)),
        sa.Column("taken_back", sa.DateTime),
    )
    # one of each at a time, whatever two processes do at once
    for table, column, where in (
        ("detector_shadows", "first", RUNS),
        ("detector_promotions", "replaced", HOLDS),
    ):
        op.create_index(
            f"{table}_one",
            table,
            [column],
            unique=True,
            sqlite_where=sa.text(where),
            postgresql_where=sa.text(where),
        )


def downgrade() -> None:
    op.drop_table("detector_promotions")
    op.drop_table("detector_shadows")
