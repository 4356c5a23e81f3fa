"""What whoever sent a file said of columns that can be read in two ways."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("screenings", sa.Column("answers", sa.JSON()))


def downgrade() -> None:
    op.drop_column("screenings", "answers")
