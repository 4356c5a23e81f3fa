"""Guesses of what the columns of a labelled file are, with those that make the amount or the time together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from screening.columns.arrangement import compared
from screening.columns.composed import Columns
from screening.columns.role_inference import Guess
from screening.transactions.composition import Composition
from screening.transactions.schema import CellKind, Column, Role

JOINED = " & "
"""Between the names of the parts in the name of what they make."""


def compose_roles(
    guesses: Sequence[Guess], header: Sequence[str], rows: Sequence[Sequence[str]]
) -> list[Guess]:
    """Return the guesses, with one more for each value that certainly is made of several columns, which then play no
    part by themselves; what may be made so, and isn't certain, is a remark.

    Args:
        guesses: one for each column of the file, in order.
        header: the names.
        rows: some of the rows, each as long as the header.
    """
    found = list(guesses)
    places = [place for place, guess in enumerate(guesses) if guess.column.role is not Role.LABEL]
    columns = Columns.of(header, rows, places)
    for role in (Role.TIME, Role.AMOUNT):
        found = _with(role, found, columns)
    return found


def composed(role: Role, made: Composition) -> Column:
    """Return the column that is made of several."""
    kind = CellKind.TIME if role is Role.TIME else CellKind.NUMBER
    return Column(JOINED.join(made.columns), role, kind, made=made)


def parted(guess: Guess, whole: Column) -> Guess:
    """Return a column that plays no part by itself any more."""
    column = Column(guess.column.name, Role.IGNORE, CellKind.TEXT, optional=True)
    part = whole.made is not None and column.name in whole.made.columns
    return Guess(column, f"a part of {whole.name}" if part else f"{whole.name} says it, too", 1.0)


def _with(role: Role, found: list[Guess], columns: Columns) -> list[Guess]:
    own = next((guess.column for guess in found if guess.column.role is role), None)
    known = own.name if own is not None and (role is Role.AMOUNT or own.kind is CellKind.TIME) else None
    guesses = columns.amounts(known) if role is Role.AMOUNT else columns.times(known)
    if not guesses:
        return found
    best = guesses[0]
    certain = best.certain
    if known is not None and role is Role.AMOUNT and known not in best.composition.columns:
        same = compared(columns, known, best.composition)
        if same:
            return found
        certain = same is False
    if not certain:
        names = JOINED.join(best.composition.columns)
        words = (
            f"may be meant as {names} together: say so where several columns make one value, or with --part"
        )
        return [
            replace(guess, remark=guess.remark or words) if guess.column is own else guess for guess in found
        ]
    whole = composed(role, best.composition)
    parts = {*best.composition.columns, known}
    return [
        *(
            parted(guess, whole) if guess.column.name in parts or guess.column is own else guess
            for guess in found
        ),
        Guess(whole, f"made of {best.composition.words}", best.score),
    ]
