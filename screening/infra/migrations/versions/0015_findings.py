"""What monitoring found out of each detector: drift, precision and recall."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "monitoring_findings",
        sa.Column("detector", sa.String(64), primary_key=True),
        sa.Column("computed", sa.Double, nullable=False),
        sa.Column("found", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("monitoring_findings")
