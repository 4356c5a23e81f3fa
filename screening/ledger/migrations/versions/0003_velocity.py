"""Rows of the API by their entities, which later ones look back on; names that somebody else had before."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "ledger_velocity_subjects",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("detector", sa.String(64), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("horizon", sa.Double, nullable=False),
        sa.Column("last", WHOLE, nullable=False),
        sa.Column("late", WHOLE, nullable=False),
        sa.Column("repeated", WHOLE, nullable=False),
        sa.Column("newest", sa.Double),
        sa.Column("built", sa.Double),
        sa.UniqueConstraint("detector", "fingerprint"),
    )
    op.create_table(
        "ledger_velocity_rows",
        sa.Column("subject", sa.Integer, primary_key=True),
        sa.Column("seq", WHOLE, primary_key=True),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("shared", sa.Boolean, nullable=False),
        sa.Column("time", sa.Double, nullable=False),
        sa.Column("label", sa.SmallInteger, nullable=False),
        sa.Column("cells", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ledger_velocity_by_id", "ledger_velocity_rows", ["id"])
    op.create_index("ledger_velocity_by_time", "ledger_velocity_rows", ["subject", "time"])
    op.create_table(
        "ledger_velocity_entities",
        sa.Column("subject", sa.Integer, primary_key=True),
        sa.Column("place", sa.SmallInteger, primary_key=True),
        sa.Column("cell", sa.Double, primary_key=True),
        sa.Column("time", sa.Double, primary_key=True),
        sa.Column("seq", WHOLE, primary_key=True),
        sqlite_with_rowid=False,
    )

    name = op.create_table("ledger_name", sa.Column("name", sa.String(32), primary_key=True))
    op.bulk_insert(name, [{"name": secrets.token_hex(8)}])
    op.create_table(
        "ledger_partings",
        sa.Column("owner", sa.String(64), primary_key=True),
        sa.Column("at", sa.DateTime, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("ledger_partings")
    op.drop_table("ledger_name")
    for table in ("entities", "rows", "subjects"):
        op.drop_table(f"ledger_velocity_{table}")
