"""Recognise texts that say that there is nothing: the same ones in files, JSON and training."""

from __future__ import annotations

import re

from screening.transactions.guards import bare

# As databases, pandas, spreadsheets and people write it, in any case: ``\N`` is MySQL's, ``[NULL]``
# DBeaver's.
WORDS = frozenset(
    {
        *("na", "n/a", "#n/a", "n.a.", "nan", "null", "none", "nil", "missing", "-", "--", "?", "."),
        *(r"\n", "[null]", "(null)", "<null>", "<na>", "nat", "(none)", "(blank)", "undefined"),
    }
)


# What a spreadsheet shows where it can't calculate: ``#N/A`` means no value, the others mean an error.
SHEET_ERROR = re.compile(r"#(?:N/A|DIV/0!|REF!|VALUE!|NAME\?|NUM!|NULL!|SPILL!|CALC!)", re.IGNORECASE)


def missing(text: str) -> bool:
    """Return whether a cell says nothing: it is blank, or a word for it."""
    plain = bare(text)
    return not plain or plain.casefold() in WORDS
