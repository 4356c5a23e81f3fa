"""The tables of the database, version by version (Alembic).

A new version also raises ``HEAD`` in :mod:`screening.infra.database`. It only adds, and what it adds may be left out:
while hosts are upgraded one after another, the version before works with the same tables. What nobody needs any more is
taken away by a later one, which says so (``oldest = "0035"``: that and later code works without) and raises ``OLDEST``.
"""
