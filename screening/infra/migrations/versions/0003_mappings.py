"""Which columns of a file are which of a detector's, as users said."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("screenings", sa.Column("mapping", sa.JSON()))
    op.create_table(
        "mappings",
        sa.Column("header", sa.String(64), primary_key=True),
        sa.Column("detector", sa.String(64), nullable=False),
        sa.Column("columns", sa.JSON(), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("mappings")
    op.drop_column("screenings", "mapping")
