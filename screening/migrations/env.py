"""Run by Alembic inside the transaction that :meth:`screening.database.Database.create_tables` has begun."""

from alembic import context

from screening.database import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
context.run_migrations()
