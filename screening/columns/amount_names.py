"""Read the names of amount columns: the unit, and the currency."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from screening.columns.vocabulary import word_set, words_of
from screening.transactions.amount_units import AmountUnit
from screening.transactions.missing import missing

Rows = Sequence[Sequence[str]]


# These mean the smallest unit of a currency; how much that is depends on the currency.
CENTS = word_set(
    "cent cents ct cts minor minors minorunit minorunits subunit subunits penny pence centime centimes centimo "
    "centimos céntimo céntimos centavo centavos centesimi centesimo øre öre paise pfennig rappen grosz groszy haler "
    "fils fen sen kopeck kopecks kopek kopeks"
)
MILS = word_set("mil mils millime millimes baisa thousandth thousandths")
THOUSANDS = word_set(
    "thousand thousands tausend tsd miles milliers migliaia duizend 000s k keur kusd kgbp teur"
)
MAJOR = word_set("major majorunit majorunits dollars euros pounds")
CURRENCY = word_set(
    "currency ccy curr currencycode währung waehrung moneda divisa devise valuta waluta moeda"
)
NO_MINOR = word_set(
    "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF "
    "108 152 262 324 352 392 174 410 600 646 800 940 704 548 950 952 953"
)
"""Currencies that have no smaller unit, by the codes and numbers of ISO 4217."""
THREE_PLACES = word_set("BHD IQD JOD KWD LYD OMR TND 048 368 400 414 434 512 788 48")
USUAL_PLACES = 2


def unit_said(theirs: Iterable[str], ours: str, currencies: Collection[str] = ()) -> AmountUnit | None:
    """Return the unit of a file's amounts that the names of its columns say, seen from the detector's own column.

    Args:
        theirs: the names of the file's column, or of the parts that make the amount.
        ours: what the detector calls it; what that says of a unit is how the detector learned it.
        currencies: codes of the file's currencies, which tell what their minor units are.

    Returns:
        ``None`` where the names say nothing, or nothing that differs by one of the known units.
    """
    said = {found for name in theirs if (found := minor_digits(name, currencies)) is not None}
    if len(said) != 1:
        return None
    own = minor_digits(ours, currencies) or 0
    return next((unit for unit in AmountUnit if unit.digits == said.copy().pop() - own), None)


def minor_digits(name: str, currencies: Collection[str]) -> int | None:
    """Return the number of places that the decimal mark moves to turn a column of this name into whole units."""
    words = set(words_of(name))
    if words & CENTS:
        places = places_of(currencies)
        return -(places.copy().pop() if len(places) == 1 else USUAL_PLACES)
    if words & MILS:
        return -3
    if words & THOUSANDS:
        return 3
    return 0 if words & MAJOR else None


def places_of(currencies: Iterable[str]) -> set[int]:
    """Return how many decimals the minor units of some currencies have, by ISO 4217."""
    codes = {code.strip().upper() for code in currencies if not missing(code)}
    return {0 if code in NO_MINOR else 3 if code in THREE_PLACES else USUAL_PLACES for code in codes}


def currency_columns(header: Sequence[str], rows: Callable[[], Rows]) -> dict[str, set[str]]:
    """Return the columns that hold the codes of currencies, by their names and first cells, each with these codes."""
    found = {}
    for place, name in enumerate(header):
        if not set(words_of(name)) & CURRENCY:
            continue
        cells = {row[place].strip() for row in rows() if place < len(row) and not missing(row[place])}
        if cells and all(
            len(cell) == 3 and cell.isascii() and (cell.isalpha() or cell.isdigit()) for cell in cells
        ):
            found[name.strip()] = cells
    return found
