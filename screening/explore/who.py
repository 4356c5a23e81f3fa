"""Find the columns of a file that say who and what its rows are about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from screening.columns.vocabulary import words_of
from screening.detectors.detector import Detector
from screening.ledger import fields
from screening.ledger.fields import ENTITIES

MOST_WHO = 3
OF_TRANSACTIONS = frozenset(("transaction", "tx", "trx", "txn", "payment", "order", "transfer", "booking"))
NUMBERS = frozenset(("id", "no", "nr", "number", "num", "ref", "reference", "key"))


def who_of(
    header: Sequence[str], called: Mapping[str, str], detector: Detector | None
) -> list[tuple[str, str]]:
    """Return the columns of a file that say who and what its rows are about: what each is, and its name there.

    Args:
        header: of the file.
        called: for columns of the detector their names in the file, where these are others.
        detector: the one that scored it, if it is still there.
    """
    columns = (
        [] if detector is None else [fields.called(column, called) for column in detector.contract.parts()]
    )
    places = fields.assign(header, columns)
    found = [(kind, header[places[kind]]) for kind in ENTITIES if kind in places][:MOST_WHO]
    number = next((name for name in header if _numbers_transactions(name)), None)
    return found if number is None or number in dict(found).values() else [("id", number), *found]


def _numbers_transactions(name: str) -> bool:
    words = set(words_of(name))
    return bool(words & OF_TRANSACTIONS) and bool(words & NUMBERS) and words <= OF_TRANSACTIONS | NUMBERS
