"""The oldest version of these tables whose code works with them, too: both run while hosts are upgraded in turn."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("ledger_version", sa.Column("oldest", sa.String(32)))


def downgrade() -> None:
    with op.batch_alter_table("ledger_version") as table:
        table.drop_column("oldest")
