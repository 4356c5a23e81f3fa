"""Backups: all that an instance keeps, of one moment, as one file; and an instance made of such a file.

:mod:`making` and :mod:`restoring` are the two commands. :mod:`moment` holds the databases still for them,
:mod:`staging` the files; :mod:`archive` says what the file is like.
"""
