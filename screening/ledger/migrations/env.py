"""Run by Alembic inside the transaction that :meth:`screening.infra.database.Database.create_tables` has begun."""

from alembic import context

from screening.ledger.tables import SCHEMA, LedgerBase

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=LedgerBase.metadata,
    version_table=SCHEMA.version_table,
    render_as_batch=True,  # SQLite alters a table by making it again
    transactional_ddl=True,
)
context.run_migrations()
