"""The store's tables, version by version (Alembic). A new one needs ``HEAD`` in :mod:`screening.database` raised too."""
