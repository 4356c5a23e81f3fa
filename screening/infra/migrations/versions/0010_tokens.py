"""Whether card numbers that are found in a file are replaced by tokens without a further word."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column(
        "screenings", sa.Column("tokenize", sa.Boolean(), nullable=False, server_default=sa.false())
    )


def downgrade() -> None:
    op.drop_column("screenings", "tokenize")
