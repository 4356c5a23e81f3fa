"""How far streams of transactions are, by partition."""

import sqlalchemy as sa
from alembic import op

revision = "0036"
down_revision = "0033"
WHOLE_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "stream_partitions",
        sa.Column("consumer_group", sa.String(249), primary_key=True),
        sa.Column("topic", sa.String(249), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("position", WHOLE_NUMBER, nullable=False),
        sa.Column("lag", WHOLE_NUMBER),
        sa.Column("consumed", WHOLE_NUMBER, nullable=False),
        sa.Column("rejected", WHOLE_NUMBER, nullable=False),
        sa.Column("last_message", sa.Double),
        sa.Column("seen", sa.Double, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("stream_partitions")
