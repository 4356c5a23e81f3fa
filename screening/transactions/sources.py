"""Sources of a contract's columns in a file, and how the columns are made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from screening.transactions.amount_units import AmountUnit
from screening.transactions.composition import DIRECTIONS, PartKind, ValuePart
from screening.transactions.schema import CellKind, ColumnContract, Matrix, Role

ReadKind = CellKind | PartKind
PART_KINDS: Mapping[ValuePart, ReadKind] = {
    ValuePart.DATE: CellKind.TIME,
    ValuePart.CLOCK: PartKind.CLOCK,
    ValuePart.MONTH: PartKind.MONTH,
    ValuePart.DIRECTION: PartKind.DIRECTION,
    ValuePart.DIRECTION_IN: PartKind.DIRECTION_IN,
    ValuePart.DIRECTION_OUT: PartKind.DIRECTION_OUT,
}
"""Kinds of the cells of parts; those of any other are numbers."""
DIRECTION_KINDS: Mapping[ReadKind, ValuePart] = {PART_KINDS[part]: part for part in DIRECTIONS}
"""The kinds of cells that are words for debit or credit, and the part that each of them is."""


@dataclass(frozen=True, slots=True)
class Source:
    """One column of a file that is read: a column of the contract, or a part of one."""

    name: str
    """The contract's, or the file's where it is a part."""
    role: Role
    kind: ReadKind
    optional: bool
    place: int
    """In the header."""
    column: int
    """The number of the contract's column that it belongs to."""
    part: ValuePart | None = None
    scale: float = 1.0
    """Factor that a number is multiplied by as it is read."""
    least: float | None = None
    """The least that a cell can mean, if there is such a bound."""
    unit: AmountUnit = AmountUnit.WHOLE
    """Unit of the amounts."""


def sources_of(contract: ColumnContract, header: Sequence[str]) -> tuple[Source, ...]:
    """Return every column of a file that is read, in the contract's order; a composed one by its parts.

    Raises:
        BadFile: as :meth:`ColumnContract.match`.
    """
    places, parts = contract.places(header)
    found: list[Source] = []
    for number, column in enumerate(contract.parts()):
        name, role, least = column.name, column.role, column.least
        unit = contract.unit if role is Role.AMOUNT else AmountUnit.WHOLE
        if name not in parts:
            kind, optional, place = column.kind, column.optional, places[name]
            found.append(Source(name, role, kind, optional, place, number, None, column.scale, least, unit))
            continue
        for (part, theirs), place in zip(*parts[name], strict=True):
            of_part, optional = (
                PART_KINDS.get(part, CellKind.NUMBER),
                part in (ValuePart.DEBIT, ValuePart.CREDIT),
            )
            bound = least if part is ValuePart.DATE else None
            found.append(Source(theirs, role, of_part, optional, place, number, part, least=bound, unit=unit))
    return tuple(found)


def compose(contract: ColumnContract, sources: Sequence[Source], values: Matrix) -> Matrix:
    """Return the contract's columns, (rows, columns), made of those read, (rows, sources); NaN for no value."""
    if not contract.composed:
        return values
    made = dict(contract.composed)
    found = np.empty((len(values), len(contract.columns)))
    for number, name in enumerate(contract.columns):
        places = [place for place, source in enumerate(sources) if source.column == number]
        if sources[places[0]].part is None:
            found[:, number] = values[:, places[0]]
        else:
            found[:, number] = made[name].values(values[:, places])
    return found
