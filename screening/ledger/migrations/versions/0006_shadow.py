"""What detectors in the shadow say of the ledger's rows."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("ledger_tail", sa.Column("shadowed", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "ledger_shadow_waiting",
        sa.Column("seq", WHOLE, primary_key=True),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "ledger_shadow_scores",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("run", sa.String(32), nullable=False),
        sa.Column("screening", sa.String(32)),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("written", sa.DateTime, nullable=False),
    )
    op.create_index("ledger_shadow_scores_by_run", "ledger_shadow_scores", ["run"])
    op.create_index("ledger_shadow_scores_by_screening", "ledger_shadow_scores", ["screening"])
    op.create_table(
        "ledger_shadow_files",
        sa.Column("run", sa.String(32), primary_key=True),
        sa.Column("screening", sa.String(32), primary_key=True),
        sa.Column("problem", sa.String(300)),
    )
    op.create_table(
        "ledger_shadow_counts",
        sa.Column("run", sa.String(32), primary_key=True),
        sa.Column("runs", sa.Boolean, nullable=False),
        sa.Column("seeded", sa.Boolean, nullable=False),
        *(sa.Column(name, WHOLE, nullable=False) for name in ("scored", "unreadable", "failed", "dropped")),
        sa.Column("trying", sa.Integer, nullable=False),
        sa.Column("problem", sa.String(300)),
    )


def downgrade() -> None:
    for name in ("counts", "files", "scores", "waiting"):
        op.drop_table(f"ledger_shadow_{name}")
    with op.batch_alter_table("ledger_tail") as table:
        table.drop_column("shadowed")
