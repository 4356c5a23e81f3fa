"""Run by Alembic inside the transaction that :meth:`screening.infra.database.Database.create_tables` has begun."""

from alembic import context

from screening.infra.database import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite alters a table by making it again
    transactional_ddl=True,  # true for SQLite too, since the app begins its transactions itself
)
context.run_migrations()
