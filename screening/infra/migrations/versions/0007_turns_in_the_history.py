"""Whose turn it is to read a detector's history and to add to it: several workers may screen at the same time."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("screenings", sa.Column("history_key", sa.String(64)))
    op.add_column(
        "screenings", sa.Column("history_turn", sa.Boolean(), nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    op.drop_column("screenings", "history_turn")
    op.drop_column("screenings", "history_key")
