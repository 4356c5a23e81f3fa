"""Alerts and the messages about them, and how many decisions there were by the hour."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("rule", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(160), nullable=False),
        sa.Column("began", sa.Double, nullable=False),
        sa.Column("seen", sa.Double, nullable=False),
        sa.Column("ended", sa.Double),
        sa.Column("value", sa.Double, nullable=False),
        sa.Column("limit", sa.Double, nullable=False),
        sa.Column("text", sa.String(500), nullable=False),
    )
    going_on = sa.text("ended IS NULL")
    op.create_index(
        "alerts_going_on",
        "alerts",
        ["rule", "subject"],
        unique=True,
        sqlite_where=going_on,
        postgresql_where=going_on,
    )
    op.create_table(
        "webhook_messages",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.Double),
        sa.Column("delivered", sa.Double),
        sa.Column("error", sa.String(200)),
    )
    op.create_index("webhook_messages_by_due", "webhook_messages", ["due"])
    op.create_table(
        "decisions_by_hour",
        sa.Column("hour", sa.Integer, primary_key=True),
        sa.Column("detector", sa.String(64), primary_key=True),
        sa.Column("source", sa.String(8), primary_key=True),
        sa.Column("rows", WHOLE, nullable=False),
        sa.Column("flagged", WHOLE, nullable=False),
    )


def downgrade() -> None:
    for table in ("decisions_by_hour", "webhook_messages", "alerts"):
        op.drop_table(table)
