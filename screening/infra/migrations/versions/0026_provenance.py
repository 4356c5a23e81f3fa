"""What stands behind the hashes that decisions name."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0021"


def upgrade() -> None:
    op.create_table(
        "provenance",
        sa.Column("mark", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("told", sa.JSON, nullable=False),
        sa.Column("noted", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("provenance")
