"""The manifest of the segments, drafts, the tail of the API's rows, its repeated requests, and later labels."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "ledger_segments",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("screening", sa.String(32)),
        sa.Column("origin", sa.String(24)),
        sa.Column("owner", sa.String(64)),
        sa.Column("detector", sa.String(64)),
        sa.Column("calendar", sa.Boolean()),
        sa.Column("earliest", sa.DateTime(timezone=True), nullable=False),
        sa.Column("latest", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_first", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_last", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("flagged", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("written", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("ledger_segments_by_screening", "ledger_segments", ["screening"])
    op.create_table(
        "ledger_drafts",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "ledger_tail",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True
        ),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("written", sa.Float(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "ledger_requests",
        sa.Column("owner", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("written", sa.Float(), nullable=False),
    )
    op.create_index("ledger_requests_by_age", "ledger_requests", ["written"])
    op.create_table(
        "ledger_labels",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("label", sa.Integer(), nullable=False),
        sa.Column("fraud_type", sa.String(64)),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("written", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("ledger_labels")
    op.drop_table("ledger_requests")
    op.drop_table("ledger_tail")
    op.drop_table("ledger_drafts")
    op.drop_table("ledger_segments")
