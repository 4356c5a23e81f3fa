"""The store's tables, version by version (Alembic). A new one also raises ``HEAD`` in :mod:`screening.database`."""
