"""Thresholds by detector, two where one is to stop without a look, and what a screening was decided with."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.create_table(
        "detector_thresholds",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("detector", sa.String(64), nullable=False),
        sa.Column("review", sa.Double),
        sa.Column("block", sa.Double),
        sa.Column("reason", sa.String(500), nullable=False),
        sa.Column("said_by", sa.String(128), nullable=False),
        sa.Column("said", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("detector_thresholds_by_detector", "detector_thresholds", ["detector", "id"])
    op.add_column("screenings", sa.Column("block", sa.Float))
    op.add_column("screenings", sa.Column("blocked", sa.Integer))


def downgrade() -> None:
    op.drop_column("screenings", "blocked")
    op.drop_column("screenings", "block")
    op.drop_index("detector_thresholds_by_detector", "detector_thresholds")
    op.drop_table("detector_thresholds")
