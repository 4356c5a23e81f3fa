"""Documents that are made as jobs, and schedules that ask for them."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "documents",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("filename", sa.String(255), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("size", sa.BigInteger),
        sa.Column("sha256", sa.String(64)),
        sa.Column("error", sa.JSON),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.Column("finished", sa.DateTime),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("holder", sa.String(128)),
        sa.Column("lease_until", sa.DateTime),
        sa.Column("what", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(64)),
        sa.Column("start", sa.DateTime),
        sa.Column("end", sa.DateTime),
        sa.Column("whose", sa.String(64)),
        sa.Column("author", sa.String(128), nullable=False),
        sa.Column("schedule", sa.String(32)),
        sa.Column("stage", sa.String(200), nullable=False),
        sa.Column("started", sa.DateTime),
    )
    op.create_index("documents_by_owner", "documents", ["owner", "created"])
    op.create_index("documents_by_state", "documents", ["state"])
    # of one schedule a period is reported on once, whatever two processes do at once
    op.create_index("documents_of_schedule", "documents", ["schedule", "start"], unique=True)
    op.create_table(
        "report_schedules",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("every", sa.String(8), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.Column("reported", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("report_schedules")
    op.drop_table("documents")
