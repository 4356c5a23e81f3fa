"""How the values of files lay, which are compared with the training data of their detectors."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "ledger_file_counts",
        sa.Column("screening", sa.String(32), primary_key=True),
        sa.Column("detector", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("decided_at", sa.DateTime, nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("counts", sa.Text, nullable=False),
    )
    op.create_index("ledger_file_counts_by_time", "ledger_file_counts", ["detector", "decided_at"])


def downgrade() -> None:
    op.drop_table("ledger_file_counts")
