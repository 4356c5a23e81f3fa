"""Notifications of people and of whoever has a permission, and who has read which."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("username", sa.String(128)),
        sa.Column("permission", sa.String(32)),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("words", sa.String(500), nullable=False),
        sa.Column("path", sa.String(300), nullable=False),
        sa.Column("by", sa.String(128)),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("notifications_by_user", "notifications", ["username", "id"])
    op.create_index("notifications_by_permission", "notifications", ["permission", "id"])
    op.create_table(
        "notifications_read",
        sa.Column("username", sa.String(128), primary_key=True),
        sa.Column("notification", sa.Integer, primary_key=True),
    )


def downgrade() -> None:
    op.drop_table("notifications_read")
    op.drop_index("notifications_by_permission", "notifications")
    op.drop_index("notifications_by_user", "notifications")
    op.drop_table("notifications")
