"""Owners in small letters, since case plays no part in names."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("UPDATE screenings SET owner = lower(owner)")


def downgrade() -> None:
    pass  # how a name was written appears in users.txt
