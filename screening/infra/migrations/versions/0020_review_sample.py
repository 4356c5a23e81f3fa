"""Rows below the threshold that are drawn at random and appear in the queue like any other."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
INDEXES = (("review_by_risk", ["waiting"]), ("review_by_owner", ["owner", "waiting"]))


def upgrade() -> None:
    op.add_column("review_cases", sa.Column("sampled", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("review_cases", sa.Column("rank", sa.Double, nullable=False, server_default="0"))
    op.execute("UPDATE review_cases SET rank = loss")
    for name, first in INDEXES:
        op.drop_index(name, "review_cases")
        op.create_index(name, "review_cases", [*first, "rank", "probability", "id"])
    op.create_index("review_sampled", "review_cases", ["sampled", "state"])


def downgrade() -> None:
    op.drop_index("review_sampled", "review_cases")
    for name, first in INDEXES:
        op.drop_index(name, "review_cases")
        op.create_index(name, "review_cases", [*first, "loss", "probability", "id"])
    op.drop_column("review_cases", "rank")
    op.drop_column("review_cases", "sampled")
