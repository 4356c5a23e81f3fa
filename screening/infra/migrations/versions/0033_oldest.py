"""The oldest version of these tables whose code works with them, too: both run while hosts are upgraded in turn."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    op.add_column("alembic_version", sa.Column("oldest", sa.String(32)))


def downgrade() -> None:
    with op.batch_alter_table("alembic_version") as table:
        table.drop_column("oldest")
