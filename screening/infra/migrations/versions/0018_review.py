"""Cases: what is to be decided about flagged transactions, by whom, and what was decided."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.create_table(
        "review_cases",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("detector", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16)),
        sa.Column("value", sa.String(200)),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.Column("escalated", sa.Boolean, nullable=False),
        sa.Column("assignee", sa.String(64)),
        sa.Column("taken", sa.DateTime),
        sa.Column("opened", sa.DateTime, nullable=False),
        sa.Column("items", sa.Integer, nullable=False),
        sa.Column("loss", sa.Double, nullable=False),
        sa.Column("probability", sa.Double, nullable=False),
        sa.Column("amount", sa.Double),
        sa.Column("currency", sa.String(16)),
        sa.Column("fraud_type", sa.String(64)),
        sa.Column("outcome", sa.String(12)),
        sa.Column("decided", sa.DateTime),
        sa.Column("decided_by", sa.String(64)),
        sa.Column("untold", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    for name, columns in (
        ("review_by_risk", ["waiting", "loss", "probability", "id"]),
        ("review_by_owner", ["owner", "waiting", "loss", "probability", "id"]),
        ("review_by_age", ["waiting", "opened", "id"]),
        ("review_by_assignee", ["assignee", "state"]),
        ("review_by_taken", ["state", "taken"]),
        ("review_by_decided", ["state", "decided"]),
        ("review_by_entity", ["kind", "value"]),
        ("review_untold", ["untold"]),
    ):
        op.create_index(name, "review_cases", columns)
    op.create_table(
        "review_items",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("case_id", sa.Integer, nullable=False),
        sa.Column("screening", sa.String(32)),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("decided_at", sa.DateTime, nullable=False),
        sa.Column("event_time", sa.DateTime),
        sa.Column("probability", sa.Double, nullable=False),
        sa.Column("threshold", sa.Double, nullable=False),
        sa.Column("flagged", sa.Boolean, nullable=False),
        sa.Column("amount", sa.Double),
        sa.Column("currency", sa.String(16)),
        sa.Column("fraud_type", sa.String(64)),
        sa.Column("label", sa.SmallInteger),
        sa.Column("who", sa.JSON, nullable=False),
        sa.Column("rules", sa.JSON, nullable=False),
        sa.Column("reasons", sa.JSON, nullable=False),
        sa.Column("earlier", sa.JSON),
    )
    op.create_index("review_items_by_case", "review_items", ["case_id"])
    op.create_index("review_items_by_screening", "review_items", ["screening"])
    op.create_table(
        "review_events",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("case_id", sa.Integer, nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("by", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("outcome", sa.String(12)),
        sa.Column("fraud_type", sa.String(64)),
        sa.Column("reason", sa.String(200), nullable=False),
        sa.Column("note", sa.String(1000), nullable=False),
        sa.Column("target", sa.String(64)),
        sa.Column("together", sa.String(32)),
        sa.Column("before", sa.JSON),
        sa.Column("undone", sa.Boolean, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("review_events_by_case", "review_events", ["case_id", "id"])
    op.create_index("review_events_by_person", "review_events", ["by", "at"])
    op.create_table(
        "review_skips",
        sa.Column("case_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("by", sa.String(64), primary_key=True),
        sa.Column("at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "review_segments",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    for table in ("review_segments", "review_skips", "review_events", "review_items", "review_cases"):
        op.drop_table(table)
