"""Since when a screening waits for files in a bucket that is away."""

import sqlalchemy as sa
from alembic import op

revision = "0039"
down_revision = "0037"


def upgrade() -> None:
    op.add_column("screenings", sa.Column("out_of_reach", sa.DateTime(timezone=True)))


def downgrade() -> None:
    with op.batch_alter_table("screenings") as table:
        table.drop_column("out_of_reach")
