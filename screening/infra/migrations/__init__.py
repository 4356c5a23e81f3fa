"""The tables of the database, version by version (Alembic).

A new version also raises ``HEAD`` in :mod:`screening.infra.database`.
"""
