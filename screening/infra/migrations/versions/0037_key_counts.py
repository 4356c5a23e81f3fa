"""How many requests of each key a host has let in, for the limits over several hosts."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    op.create_table(
        "key_counts",
        sa.Column("host", sa.String(63), primary_key=True),
        sa.Column("round", sa.String(16), nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
        sa.Column("written", sa.Double, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("key_counts")
