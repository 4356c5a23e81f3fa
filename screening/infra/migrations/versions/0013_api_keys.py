"""API keys, and the networks from which they were used."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("scopes", sa.String(255), nullable=False),
        sa.Column("per_minute", sa.Integer(), nullable=False),
        sa.Column("burst", sa.Integer(), nullable=False),
        sa.Column("created", sa.Float(), nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("expires", sa.Float()),
        sa.Column("last_used", sa.Float()),
        sa.Column("revoked", sa.Float()),
        sa.Column("revoked_by", sa.String(128)),
        sa.Column("revision", sa.Integer(), nullable=False),
    )
    op.create_index("ix_api_keys_id", "api_keys", ["id"], unique=True)
    op.create_index("ix_api_keys_revision", "api_keys", ["revision"])
    op.create_table(
        "api_key_networks",
        sa.Column("key_id", sa.String(16), primary_key=True),
        sa.Column("network", sa.String(64), primary_key=True),
        sa.Column("first_used", sa.Float(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("api_key_networks")
    op.drop_table("api_keys")
