"""One column of a file as a part of a value: what its name says, and whether its cells are such a part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from screening.columns.profiles import MOSTLY, CellProfile, profile
from screening.columns.vocabulary import NOISE, words_of
from screening.intake import numbers
from screening.intake.numbers import NumberForm
from screening.transactions import times
from screening.transactions.composition import DIRECTIONS, MOST_WORDS, ValuePart, direction_of, plain_word
from screening.transactions.missing import missing

Fits = Callable[[str], bool]
# With more different cells a column can't be one of words, so counting stops.
MOST_DIFFERENT = 2 * MOST_WORDS
FIRST = 10
"""Cells that are looked at first."""
PART_NAMES: dict[ValuePart, frozenset[str]] = {
    part: frozenset(names.split())
    for part, names in {
        ValuePart.DATE: "date datum fecha data day booking buchungstag buchungsdatum valuta jour dt datetime timestamp",
        ValuePart.CLOCK: "time uhrzeit uhr zeit hora heure ora tijd clock hour",
        ValuePart.YEAR: "year jahr año ano année annee anno jaar yyyy",
        ValuePart.MONTH: "month monat mes mois mês mese maand mm",
        ValuePart.DAY: "day tag día dia jour giorno dag dd",
        ValuePart.HOUR: "hour hours stunde hora heure ora uur hh",
        ValuePart.MINUTE: "minute minutes minuto minuut min",
        ValuePart.SECOND: "second seconds sekunde segundo seconde secondo sec",
        ValuePart.DEBIT: "debit debits dr soll belastung belastungen out withdrawal withdrawals cargo cargos debe "
        "débit dépenses débito debito saída saidas uscite addebiti addebito dare ausgang lastschrift af debet outflow "
        "auszahlung auszahlungen ausgaben abgang abgänge débitos debitos spent expense expenses outgoing",
        ValuePart.CREDIT: "credit credits cr haben gutschrift gutschriften in deposit deposits abono abonos haber "
        "crédit recettes crédito credito entrada entradas entrate accrediti accredito avere eingang bij inflow "
        "einzahlung einzahlungen einnahmen zugang zugänge créditos creditos received income incoming into",
        ValuePart.DIRECTION: "direction sign indicator dc drcr crdr cd sh kennzeichen sens signo segno vorzeichen "
        "debitcredit creditdebit sollhaben",
    }.items()
}
GLUE = NOISE | {"amount", "amt", "betrag", "importe", "monto", "montant", "paid", "money", "value"}
"""Words that name no part."""


class FileColumn:
    """One column, profiled when that is asked for."""

    def __init__(self, place: int, name: str, cells: tuple[str, ...]) -> None:
        self.place, self.name, self.cells = place, name, cells
        self.words = frozenset(words_of(name))

    @cached_property
    def known(self) -> CellProfile:
        return profile(self.name, self.cells)

    @cached_property
    def counts(self) -> Counter[str]:
        """Number of times that each cell occurs, as words are compared; too many of them are no words."""
        raw = Counter(self.cells)
        found = Counter[str]()
        for cell, count in raw.items():
            found[plain_word(cell)] += count
            if len(found) > MOST_DIFFERENT:
                break
        return found

    def read(self, part: ValuePart) -> NDArray[np.float64]:
        """Return the cells as a part of a value, (rows,), NaN for what is none."""
        if part is ValuePart.DATE:
            return self.known.moments
        reader = WORD_READERS.get(part)
        if reader is None:
            return self.known.numbers
        return np.array([np.nan if (value := reader(cell)) is None else value for cell in self.cells])

    def called(self, part: ValuePart) -> bool:
        return bool(self.words & PART_NAMES[part])

    def rest(self, part: ValuePart) -> frozenset[str]:
        """Return the words of the name that don't say the part: they must be those of the other parts."""
        return self.words - PART_NAMES[part] - GLUE


def holds(column: FileColumn, part: ValuePart) -> bool:
    filled = [cell for cell in column.cells if not missing(cell)]
    some = filled[:FIRST]  # nearly always they tell
    if not any(map(FITS[part], some)):
        return False
    return sum(map(FITS[part], filled)) >= MOSTLY * len(filled)


def _whole(low: int, high: int) -> Fits:
    def fits(cell: str) -> bool:
        value = numbers.number(cell)
        return value is not None and value == int(value) and low <= value <= high

    return fits


def is_number(cell: str) -> bool:
    """Return whether a cell is a number, with a point or a comma for its decimal mark."""
    return numbers.number(cell) is not None or numbers.number(cell, NumberForm(",")) is not None


WORD_READERS: dict[ValuePart, Callable[[str], float | None]] = {
    ValuePart.CLOCK: times.clock_of,
    ValuePart.MONTH: times.month_of,
    **{part: partial(direction_of, part=part) for part in DIRECTIONS},
}
"""Of the parts that are neither numbers nor dates."""
FITS: dict[ValuePart, Fits] = {
    ValuePart.DATE: lambda cell: times.family_of(cell) is not None,
    ValuePart.CLOCK: lambda cell: times.clock_of(cell) is not None,
    ValuePart.YEAR: _whole(times.FIRST_YEAR, times.LAST_YEAR - 1),
    ValuePart.MONTH: lambda cell: 1 <= (times.month_of(cell) or 0) <= 12,
    ValuePart.DAY: _whole(1, 31),
    ValuePart.HOUR: _whole(0, 23),
    ValuePart.MINUTE: _whole(0, 59),
    ValuePart.SECOND: lambda cell: 0 <= (value if (value := numbers.number(cell)) is not None else -1) < 61,
    **dict.fromkeys((ValuePart.DEBIT, ValuePart.CREDIT, ValuePart.AMOUNT), is_number),
    **dict.fromkeys(DIRECTIONS, lambda cell: direction_of(cell) is not None),
}
