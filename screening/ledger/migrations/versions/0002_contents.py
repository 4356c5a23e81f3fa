"""Which screenings a segment has that was made of several."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "ledger_contents",
        sa.Column("segment", sa.String(64), primary_key=True),
        sa.Column("screening", sa.String(32), primary_key=True),
        sa.Column("origin", sa.String(24), nullable=False),
    )
    op.create_index("ledger_contents_by_screening", "ledger_contents", ["screening"])


def downgrade() -> None:
    op.drop_index("ledger_contents_by_screening", "ledger_contents")
    op.drop_table("ledger_contents")
