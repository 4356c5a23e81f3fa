"""How many rows entered the ledger, by detector, source and probability; they only grow."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "ledger_totals",
        sa.Column("detector", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(8), primary_key=True),
        sa.Column("up_to", sa.Double, primary_key=True),
        sa.Column("rows", WHOLE, nullable=False),
        sa.Column("flagged", WHOLE, nullable=False),
        sa.Column("probability", sa.Double, nullable=False),
    )
    op.create_table("ledger_counted", sa.Column("screening", sa.String(32), primary_key=True))
    # what entered before isn't counted, and mustn't be when it is entered again
    op.execute(
        "INSERT INTO ledger_counted (screening) "
        "SELECT screening FROM ledger_segments WHERE screening IS NOT NULL UNION SELECT screening FROM ledger_contents"
    )


def downgrade() -> None:
    op.drop_table("ledger_counted")
    op.drop_table("ledger_totals")
