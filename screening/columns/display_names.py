"""Name columns in sentences: ``TX_AMOUNT`` is the amount, ``CUSTOMER_ID`` the customer, ``V14`` itself."""

from __future__ import annotations

import re
from collections.abc import Mapping

from screening.columns.vocabulary import words_of
from screening.transactions.schema import Column, ColumnContract, Role

DROPPED = frozenset(("id", "ids", "tx", "trx", "txn", "key", "hash", "no", "nr", "num"))
SPOKEN = {
    "ip": "IP",
    "signup": "sign-up",
    "lat": "latitude",
    "long": "longitude",
    "merch": "merchant",
    "dest": "recipient",
    "orig": "sender",
}
# A letter and a number, as V14, have no words to show instead.
CODE = re.compile(r"[A-Z]{1,3}\d+", re.ASCII)


def display_names(contract: ColumnContract) -> Mapping[str, str]:
    """Return for each column of a detector what it is called in the middle of a sentence.

    A name that two columns would have stays as it is in the file.
    """
    found = {column.name: display_of(column) for column in contract.parts()}
    said = list(found.values())
    return {name: words if said.count(words) == 1 else name for name, words in found.items()}


def display_of(column: Column) -> str:
    """Return the name of a column as pages show it."""
    if column.role is Role.AMOUNT:
        return "amount"
    if column.role is Role.TIME:
        return "time"
    if CODE.fullmatch(column.name):
        return column.name
    words = [SPOKEN.get(word, word) for word in words_of(column.name)]
    kept = [word for word in words if word not in DROPPED] or words
    return " ".join(kept) or column.name
