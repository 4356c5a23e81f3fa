"""An amount or a time of a labelled file in several columns, as a person says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from screening.columns.composed_roles import composed
from screening.training.column_choices import ColumnChoice, fitted, named, names_of
from screening.transactions.composition import Composition, listed
from screening.transactions.schema import Role

ROLES = (Role.AMOUNT, Role.TIME)
"""Roles that can be made of several columns."""
FREE = "is no part any more: say what it is"


def made_of(choices: Iterable[ColumnChoice], role: Role) -> Composition | None:
    """Return what plays a role and is made of several columns, if anything is."""
    return next(
        (one.column.made for one in choices if one.column.made is not None and one.column.role is role), None
    )


def put_together(choices: Iterable[ColumnChoice], said: Mapping[str, Composition]) -> list[ColumnChoice]:
    """Return the choices with an amount or a time that is made of several columns, which then play no part by
    themselves.

    Args:
        choices: as they were guessed.
        said: by the role what it is made of.

    Raises:
        BadFile: there is no such column.
    """
    found = list(choices)
    for word, made in said.items():
        header = [choice.column.name for choice in found if choice.column.made is None]
        names = tuple((part, named(header, column)) for part, column in made.parts)
        column = composed(Role(word), Composition(names))
        found = freed_columns(found, Role(word))
        parts = set(column.made.columns if column.made else ())
        found = [
            replace(
                one,
                column=fitted(one.column, Role.IGNORE),
                reason=f"a part of {column.name}" if one.column.name in parts else "another has its role",
                remark="",
            )
            if one.column.name in parts or one.column.role is column.role
            else one
            for one in found
        ]
        found.append(ColumnChoice(column, f"made of {listed(names_of(column))}, as you say", chosen=True))
    return found


def taken_apart(choices: Iterable[ColumnChoice], role: Role) -> list[ColumnChoice]:
    """Return the choices without the column of a role that is made of several, which stay ignored until they are said
    to be something. What was made of them is kept as a column that is ignored: the detector reads the others alone.
    """
    found = list(choices)
    left = [
        replace(one, column=fitted(one.column, Role.IGNORE), reason="left apart, as you say", chosen=True)
        for one in found
        if one.column.made is not None and one.column.role is role
    ]
    return [*freed_columns(found, role), *left]


def freed_columns(choices: Sequence[ColumnChoice], role: Role) -> list[ColumnChoice]:
    """Return the choices without those composed for a role; no column is a part of them any more."""
    gone = {
        f"a part of {one.column.name}"
        for one in choices
        if one.column.made is not None and one.column.made.is_amount is (role is Role.AMOUNT)
    }
    return [
        replace(one, reason=FREE) if one.reason in gone else one
        for one in choices
        if one.column.made is None or one.column.made.is_amount is not (role is Role.AMOUNT)
    ]
