"""The screening line: transactions in, flags out. Only :mod:`screening.web` knows Flask."""
