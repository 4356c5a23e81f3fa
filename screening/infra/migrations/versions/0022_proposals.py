"""Changes that wait for somebody else's approval."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0027"


def upgrade() -> None:
    op.create_table(
        "proposals",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("subject", sa.String(128), nullable=False),
        sa.Column("words", sa.String(500), nullable=False),
        sa.Column("given", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("proposed_by", sa.String(128), nullable=False),
        sa.Column("proposed", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.String(128)),
        sa.Column("decided", sa.DateTime(timezone=True)),
        sa.Column("note", sa.String(500), nullable=False),
    )
    op.create_index("proposals_by_state", "proposals", ["state", "id"])


def downgrade() -> None:
    op.drop_index("proposals_by_state", "proposals")
    op.drop_table("proposals")
