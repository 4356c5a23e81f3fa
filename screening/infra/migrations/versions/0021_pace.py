"""What is being done with a file, how many rows of it are through, and how long the rest will take."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.add_column("screenings", sa.Column("pace", sa.JSON))


def downgrade() -> None:
    op.drop_column("screenings", "pace")
