"""Rules, what they were before, and the lists that they look into."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def _told() -> list[sa.Column[Any]]:
    return [
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("detector", sa.String(64)),
        sa.Column("condition", sa.Text, nullable=False),
        sa.Column("effect", sa.String(16), nullable=False),
        sa.Column("fraud_type", sa.String(64)),
        sa.Column("note", sa.String(500), nullable=False),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("changed", sa.DateTime, nullable=False),
        sa.Column("changed_by", sa.String(128), nullable=False),
    ]


def upgrade() -> None:
    op.create_table(
        "rules",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        *_told(),
    )
    op.create_index("rules_one_name", "rules", ["name"], unique=True)
    op.create_table(
        "rule_versions",
        sa.Column("rule", sa.Integer, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        *_told(),
    )
    op.create_table(
        "rule_lists",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("purpose", sa.String(16), nullable=False),
        sa.Column("note", sa.String(500), nullable=False),
        sa.Column("made", sa.DateTime, nullable=False),
        sa.Column("made_by", sa.String(128), nullable=False),
    )
    op.create_table(
        "rule_list_entries",
        sa.Column("list", sa.String(64), primary_key=True),
        sa.Column("entry", sa.String(200), primary_key=True),
        sa.Column("note", sa.String(200), nullable=False),
        sa.Column("added", sa.DateTime, nullable=False),
        sa.Column("added_by", sa.String(128), nullable=False),
    )
    op.create_table(
        "rules_clock",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.execute("INSERT INTO rules_clock (id, version) VALUES (1, 0)")


def downgrade() -> None:
    for table in ("rules_clock", "rule_list_entries", "rule_lists", "rule_versions", "rules"):
        op.drop_table(table)
