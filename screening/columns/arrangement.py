"""Arrange the columns of a file for a detector, beside those that have its names.

A column that says debit or credit, or the time of day, is never left out because the other names fit: it is read with
the amount or the date where that is certain, and asked about where it isn't.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from screening.columns.composed import Columns, contradicted
from screening.columns.made import CompositionGuess
from screening.columns.matching import fits
from screening.columns.profiles import profile
from screening.transactions.composition import Composition, ValuePart, listed
from screening.transactions.schema import CellKind, Column, ColumnContract, Role, normalise

Rows = Callable[[], Sequence[Sequence[str]]]
"""Some rows of a file, read when they are asked for."""


@dataclass(frozen=True, slots=True)
class Arrangement:
    """A contract as a file is read by it; ``open`` says what isn't certain, each in words."""

    contract: ColumnContract
    made: tuple[CompositionGuess, ...] = ()
    """Columns that were found to be made of several."""
    open: tuple[str, ...] = ()


def arrange(contract: ColumnContract, header: Sequence[str], rows: Rows) -> Arrangement:
    """Find the columns that make the amount and the time of a contract together, in a file that calls the others as the
    contract does.

    Args:
        contract: of a detector; columns may be missing.
        header: the file's names.
        rows: some of its rows.
    """
    found = Arrangement(contract)
    names = list(map(normalise, header))
    single = composable(contract, set(names))
    taken = _taken(contract, single)
    places = [place for place, name in enumerate(names) if name and name not in taken]
    own = {normalise(column.name) for column in single}
    if not single or all(names[place] in own for place in places):
        return found
    columns = Columns.of(header, rows(), places)
    for column in single:
        known = next((name for name in columns.names if normalise(name) == normalise(column.name)), None)
        guesses = columns.amounts(known) if column.role is Role.AMOUNT else columns.times(known)
        for made in guesses[:1]:
            found = arrange_composed(found, column, made, known, columns)
    return found


def composable(contract: ColumnContract, names: set[str]) -> list[Column]:
    """Return the columns that may be made of several: those that aren't already."""
    made = {
        name
        for name, each in contract.composed
        if normalise(name) not in names or all(normalise(part) in names for part in each.columns)
    }
    return [
        column
        for column in contract.parts()
        if column.name not in made
        and (column.role is Role.AMOUNT or (column.role is Role.TIME and column.kind is CellKind.TIME))
    ]


def _taken(contract: ColumnContract, single: Sequence[Column]) -> set[str]:
    """Return the names that have their place: the label, other columns, parts of them, and what a person left apart."""
    free = {column.name for column in single}
    taken = {name for name in contract.columns if name not in free}
    taken |= {part for _, made in contract.composed for part in made.columns}
    taken |= set(contract.apart) | ({contract.label} if contract.label else set())
    return {normalise(name) for name in taken}


def arrange_composed(
    found: Arrangement, column: Column, made: CompositionGuess, known: str | None, columns: Columns
) -> Arrangement:
    """Return the arrangement with one more value that is made of several columns, if it is; else with what is open."""
    certain = made.certain
    if known is not None and known not in made.composition.columns:
        same = compared(columns, known, made.composition)
        if same:
            return found
        certain = same is False
    if certain:
        others = tuple(each for each in found.contract.composed if each[0] != column.name)
        contract = replace(found.contract, composed=(*others, (column.name, made.composition)))
        return replace(found, contract=contract, made=(*found.made, made))
    if known is None:
        # it is missing, and so asked for
        return found
    names = [name for name in made.composition.columns if normalise(name) != normalise(column.name)]
    return replace(
        found, open=(*found.open, f"{listed(names)} may belong to {column.name}, which isn't certain")
    )


def one_sided(contract: ColumnContract, header: Sequence[str], rows: Rows) -> tuple[str, ...]:
    """Return the columns that play no part, and say one way only or nothing in some rows of a file: in others they may
    say which way the money goes. None where that is known already.

    Args:
        contract: as the file is read by it.
        header: the file's names.
        rows: some of its rows.
    """
    if contract.amount is None or contract.amount in dict(contract.composed):
        return ()
    used, apart = contract.needed(header), set(map(normalise, contract.apart))
    places = [
        place
        for place, name in enumerate(header)
        if place not in used and normalise(name) and normalise(name) not in apart
    ]
    return tuple(Columns.of(header, rows(), places).one_sided()) if places else ()


def compared(columns: Columns, amount: str, pair: Composition) -> bool | None:
    """Return whether an amount says what debit and credit beside it say; ``False`` where only its sign differs,
    ``None`` where it is something else.
    """
    if ValuePart.DEBIT not in pair.kinds:
        return None
    made, own = columns.values(pair), columns.numbers(amount)
    known = ~np.isnan(made) & ~np.isnan(own)
    if not known.any() or not np.isclose(abs(made[known]), abs(own[known])).all():
        return None
    return bool(np.isclose(made[known], own[known]).all())


def misfits(
    columns: Mapping[str, str | Composition],
    contract: ColumnContract,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
) -> Iterator[str]:
    """Say which columns of a file, as they were mapped earlier, hold something else now.

    Args:
        columns: for each of the contract's the file's, or what it is made of.
        contract: the detector's.
        header: the file's names.
        rows: some of its rows.
    """
    names = list(map(normalise, header))
    whole = [row for row in rows if len(row) == len(header)]
    for column in contract.parts():
        theirs = columns.get(column.name, column.name)
        needed = theirs.columns if isinstance(theirs, Composition) else (theirs,)
        if not set(map(normalise, needed)) <= set(names):
            # it is missing, which is said when the file is read
            continue
        if isinstance(theirs, Composition):
            words = contradicted(theirs, header, whole)
            if words:
                yield words
            continue
        place = names.index(normalise(theirs))
        known = profile(theirs, [row[place] for row in whole])
        if known.filled and not fits(column, known):
            yield f"{header[place].strip()} doesn't hold {NOUNS[column.kind]}"


NOUNS = {
    CellKind.NUMBER: "numbers",
    CellKind.TIME: "dates and times",
    CellKind.TEXT: "texts",
    CellKind.ADDRESS: "IP addresses",
    CellKind.LENGTH: "texts",
    CellKind.DOMAIN: "e-mail addresses",
}
