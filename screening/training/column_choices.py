"""Choose roles for the columns of a labelled file: guessed with reasons, then overruled, then checked."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from screening.cards.masking import masked
from screening.columns.clocks import WORDS as SINCE_WORDS
from screening.columns.clocks import ClockGuess, counted, is_open, words_of_count
from screening.columns.composed_roles import compose_roles
from screening.columns.labels import CountedLabels, read_label
from screening.columns.role_inference import guess_roles
from screening.errors import BadFile, Conflict, ScreeningError
from screening.intake import FileKind, numbers
from screening.intake.preview import sample
from screening.transactions.composition import Composition, listed
from screening.transactions.schema import UNUSED, CellKind, Column, Role, normalise
from screening.transactions.times import StartUnit

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
RESERVED = ("new", "from-reviews")
"""Names that are addresses of pages."""
MOST_COLUMNS = 1000
EXAMPLES, EXAMPLE_SIGNS = 3, 24
# A message that names more columns than this isn't read.
MOST_NAMED = 8
KINDS: Mapping[Role, tuple[CellKind, ...]] = {
    Role.LABEL: tuple(CellKind),
    Role.TIME: (CellKind.TIME, CellKind.NUMBER),
    Role.MOMENT: (CellKind.TIME, CellKind.NUMBER),
    Role.AMOUNT: (CellKind.NUMBER,),
    Role.ENTITY: (CellKind.TEXT, CellKind.ADDRESS),
    Role.CATEGORY: (CellKind.TEXT, CellKind.DOMAIN),
    Role.NUMBER: (CellKind.NUMBER, CellKind.LENGTH),
    Role.CARRY: tuple(CellKind),
    Role.IGNORE: tuple(CellKind),
}
"""Kinds of cells that each role can have; the first is taken where the column's own doesn't fit."""
SINGLE = (Role.LABEL, Role.TIME, Role.AMOUNT)


class BadColumns(ScreeningError):
    """The roles of the columns contradict each other, or the name can't be used."""

    title = "These choices don't work together"


@dataclass(frozen=True, slots=True)
class ColumnChoice:
    """One column: what it shall be, why that was guessed, and a few of its values."""

    column: Column
    reason: str = ""
    examples: tuple[str, ...] = ()
    clock: ClockGuess | None = None
    """Meaning of its numbers if it is the time; ``None`` where its cells are no numbers."""
    remark: str = ""
    """Remark that must be made although it is used, to be read after its name."""
    labelled: CountedLabels | None = None
    """Of the label: what its values mean."""
    chosen: bool = False
    """Whether a person said what it shall be."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON types; what ``model/data/order.py`` reads of a column is in it."""
        column = self.column
        return {
            "name": column.name,
            "role": column.role.value,
            "kind": column.kind.value,
            "optional": column.optional,
            "reason": self.reason,
            "examples": list(self.examples),
            "since": None if column.since is None else column.since.value,
            "made": None if column.made is None else column.made.as_dict,
            "clock": None if self.clock is None else self.clock.as_dict(),
            "remark": self.remark,
            "labelled": None if self.labelled is None else self.labelled.as_dict(),
            "chosen": self.chosen,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> ColumnChoice:
        """Return the choices that :meth:`as_dict` wrote; an earlier version may have left out some of it."""
        column = Column(
            found["name"],
            Role(found["role"]),
            CellKind(found["kind"]),
            optional=found["optional"],
            since=StartUnit(found["since"]) if found.get("since") else None,
            made=Composition.of(found["made"]) if found.get("made") else None,
        )
        return cls(
            column,
            found["reason"],
            tuple(found["examples"]),
            ClockGuess.from_dict(found["clock"]) if found.get("clock") else None,
            found.get("remark", ""),
            CountedLabels.from_dict(found["labelled"]) if found.get("labelled") else None,
            found.get("chosen", False),
        )


def guessed(
    path: Path, kind: FileKind, label: str, scratch: Path | None = None, *, fraud_values: Sequence[str] = ()
) -> list[ColumnChoice]:
    """Return the columns of a file with guessed roles; ``label`` is the one that says what was fraud.

    ``fraud_values`` are the label's values that mean fraud, where they aren't those that everybody uses.

    Raises:
        BadFile: it can't be read, has no such column, or holds card numbers.
    """
    found = sample(path, kind, counted=label, scratch=scratch)
    header, rows = found.header, found.rows
    if len(header) > MOST_COLUMNS:
        raise BadFile(
            f"The file has {len(header):,} columns; at most {MOST_COLUMNS:,} can be learned from.",
            remedy="Leave out columns that say nothing about fraud.",
        )
    found.cards.check()
    name = named(header, label)
    labelled = read_label(name, found.counts, fraud_values)
    guesses = guess_roles(header, rows, name, found.blanks, labelled.fraud_values)
    cells = dict(zip(header, zip(*rows, strict=True), strict=False)) if rows else {}
    choices = [
        ColumnChoice(
            guess.column,
            guess.reason,
            _examples_of(guess.column, cells),
            guess.clock,
            guess.remark,
            labelled if guess.column.role is Role.LABEL else None,
        )
        for guess in compose_roles(guesses, header, rows)
    ]
    # a column without a name is mostly a row number that some program wrote, and couldn't be found again either
    return [
        choice
        if choice.column.name
        else replace(choice, column=fitted(choice.column, Role.IGNORE), reason="it has no name", remark="")
        for choice in choices
    ]


def labelled_as(choices: Iterable[ColumnChoice]) -> CountedLabels | None:
    """Return what the label of some columns says, where that is known."""
    return next((choice.labelled for choice in choices if choice.labelled is not None), None)


def with_counts(choices: Iterable[ColumnChoice], said: str | None) -> list[ColumnChoice]:
    """Return the choices with what the numbers of the time count: as was said, or as they leave no doubt.

    Raises:
        Undecided: they can count several things.
        BadFile: what was said can't be.
    """
    return [
        replace(one, column=counted(one.column, one.clock, said)) if one.column.role is Role.TIME else one
        for one in choices
    ]


def named(header: Sequence[str], wanted: str) -> str:
    """Return a column's name as the file writes it, given in any case.

    Raises:
        BadFile: the file has no such column, or more than one.
    """
    found = [name for name in header if normalise(name) == normalise(wanted)]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(masked(name)[:40] for name in header[:12]) + (", …" if len(header) > 12 else "")
    if found:
        raise BadFile(f"Column {wanted} appears in the file more than once.", remedy="Keep one of them.")
    raise BadFile(
        f"The file has no column {masked(wanted)[:60]!r}.",
        where="header",
        remedy=f"Its columns are: {shown}.",
    )


def overruled(choices: Iterable[ColumnChoice], wanted: Mapping[str, Role]) -> list[ColumnChoice]:
    """Return the choices with other roles for some columns, given by name in any case.

    A role that only one column can have is taken from the one that was guessed to have it.

    Raises:
        BadFile: there is no such column.
    """
    choices = list(choices)
    header = [choice.column.name for choice in choices]
    roles = {named(header, name): role for name, role in wanted.items()}
    taken = {role for role in roles.values() if role in SINGLE}
    found = []
    for choice in choices:
        role = roles.get(choice.column.name)
        if role is None and choice.column.role in taken:
            dated = choice.column.role is Role.TIME and choice.column.kind is CellKind.TIME
            role = Role.MOMENT if dated else Role.NUMBER
            role = Role.IGNORE if choice.column.role is Role.LABEL or choice.column.made else role
            found.append(replace(choice, column=fitted(choice.column, role), reason="another has its role"))
        elif role is None:
            found.append(choice)
        elif choice.column.made is not None and role is not Role.IGNORE:
            found.append(replace(choice, column=replace(choice.column, role=role), chosen=True))
        else:
            found.append(
                replace(choice, column=fitted(choice.column, role), reason="as you say", chosen=True)
            )
    return found


def names_of(column: Column) -> tuple[str, ...]:
    """Return the file's columns that a column is made of; its own name where it is one of them."""
    return (column.name,) if column.made is None else column.made.columns


def fitted(column: Column, role: Role) -> Column:
    """Return the column in another role, with a kind of cells that goes with it; the time is never blank."""
    kind = column.kind if column.kind in KINDS[role] else KINDS[role][0]
    since = column.since if role is Role.TIME else None
    optional = column.optional and role is not Role.TIME
    return replace(column, role=role, kind=kind, optional=optional, since=since)


def check_columns(columns: Sequence[Column]) -> None:
    """Raise an error unless a detector can be made of the columns.

    Raises:
        BadColumns: no label, a role twice that only one can have, a kind that doesn't go with its role, or nothing
            to learn from.
    """
    for role in SINGLE:
        having = [column.name for column in columns if column.role is role]
        if len(having) > 1:
            raise BadColumns(
                f"{' and '.join(having)} can't all be the {role}.",
                where=f"role {role}",
                remedy="Only one column can be that.",
            )
    if not any(column.role is Role.LABEL for column in columns):
        raise BadColumns(
            "No column says which rows were fraud.", where="role label", remedy="Make one of them the label."
        )
    for column in columns:
        if column.kind not in KINDS[column.role]:
            raise BadColumns(
                f"{column.name} is {article(column.role)} {column.role}, but its cells are {column.kind}.",
                where=f"column {column.name}",
                remedy=f"{column.role} goes with {' or '.join(KINDS[column.role])}.".capitalize(),
            )
    if all(column.role in UNUSED for column in columns):
        raise BadColumns(
            "No column is left to learn from.",
            where="roles",
            remedy="Give at least one another role than label, carry or ignore.",
        )


def consequences(choices: Sequence[ColumnChoice]) -> list[str]:
    """Return the consequences of the roles in words: of what is missing, and of what is left out."""
    roles = {choice.column.role for choice in choices}
    found = consequences_of_label(labelled_as(choices))
    found += [
        words
        for choice in choices
        if choice.column.role is Role.TIME
        for words in consequences_of_count(choice)
    ]
    if Role.TIME not in roles:
        found.append(
            "No column is the time: nothing looks back at earlier rows, and the test is on rows drawn at random, which "
            "flatters. Give a column the role time if one says when a transaction happened."
        )
    if Role.AMOUNT not in roles:
        found.append("No column is the amount: amounts caught and missed can't be told.")
    if Role.ENTITY not in roles:
        found.append(
            "No column says who or what comes back: no history of cards, customers or devices is made."
        )
    found += [
        consequences_composed(one.column)
        for one in choices
        if one.column.made is not None and one.column.role not in UNUSED
    ]
    made = {name for one in choices if one.column.role not in UNUSED for name in names_of(one.column)}
    dropped = [one for one in choices if one.column.role is Role.IGNORE and one.column.name not in made]
    if dropped:
        found.append(f"Not learned from: {_listed([(one, one.reason) for one in dropped])}.")
    named = [one for one in choices if one.remark and one.column.role not in UNUSED]
    if named:
        shown = _listed([(one, one.remark) for one in named])
        found.append(
            f"Learned from, and to be looked at: {shown}. What is known only afterwards must be ignored."
        )
    return found


def consequences_composed(column: Column) -> str:
    """Return the consequences of a column that is made of several."""
    names = listed(names_of(column))
    sign = (
        " Positive is money that leaves, negative money that comes in." if column.role is Role.AMOUNT else ""
    )
    return (
        f"{names} are read together as the {column.role}.{sign} They play no part by themselves, and later files and "
        f"programs must have them, or one column called {column.name}."
    )


def _listed(columns: Sequence[tuple[ColumnChoice, str]]) -> str:
    shown = ", ".join(f"{one.column.name or '(no name)'} ({why})" for one, why in columns[:MOST_NAMED])
    return shown + (f" and {len(columns) - MOST_NAMED} more" if len(columns) > MOST_NAMED else "")


def consequences_of_label(labelled: CountedLabels | None) -> list[str]:
    """Return the consequences of the values of the label."""
    if labelled is None:
        return []
    found = []
    if labelled.types:
        shown = ", ".join(f"{numbers.excerpt(name)} ({count:,})" for name, count in labelled.types)
        found.append(
            f"The label names {len(labelled.types)} types of fraud: {shown}. The detector finds fraud of any type, and "
            "the share of each that it finds is measured."
        )
    if labelled.assumed:
        found.append(f"“{numbers.excerpt(labelled.assumed)}” in the label was taken for legitimate.")
    if labelled.unlabelled:
        found.append(
            f"{labelled.unlabelled:,} of {labelled.rows:,} rows don't say whether they were fraud: they are left out."
        )
    return found


def consequences_of_count(choice: ColumnChoice) -> list[str]:
    """Return the consequences of a time without a calendar."""
    column = choice.column
    if column.since is None:
        if choice.clock is None or not is_open(column, choice.clock):
            return []
        return [f"{column.name} {words_of_count(choice.clock)}. Say what it counts first (time unit)."]
    words = (
        f"{column.name} was read as {SINCE_WORDS[column.since]}: no hour of the day and no weekday is known"
    )
    more = "files to be screened must count from the same start. If it counts something else, say so (time unit)."
    return [f"{words}, and {more}"]


def check_name(name: str, taken: Collection[str]) -> None:
    """Raise an error unless a new detector can have this name.

    Raises:
        BadColumns: it can't be a detector's name.
        Conflict: there is one of this name.
    """
    if not NAME.fullmatch(name) or name in RESERVED:
        raise BadColumns(
            f"“{masked(name)[:60]}” can't be a detector's name.",
            where="name",
            remedy="Use 1 to 40 small letters, digits, - and _, a letter first; “new” and “from-reviews” are each "
            "taken by a page.",
        )
    if name in taken:
        raise Conflict(f"There is a detector {name} already.", where="name", remedy="Choose another name.")


def article(word: str) -> str:
    """Return ``a`` or ``an``, by the word's first letter."""
    return "an" if word[0] in "aeiou" else "a"


def _examples_of(column: Column, cells: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """Return a few values of a column; of one that is made of several, those beside each other."""
    rows = zip(*(cells.get(name, ()) for name in names_of(column)), strict=False)
    return examples_of(" ".join(filter(None, map(str.strip, row))) for row in rows)


def examples_of(cells: Iterable[str]) -> tuple[str, ...]:
    """Return a few different values, short, and without card numbers."""
    found: dict[str, None] = {}
    for cell in cells:
        text = masked(cell.strip())
        if text:
            found[text if len(text) <= EXAMPLE_SIGNS else text[: EXAMPLE_SIGNS - 1] + "…"] = None
        if len(found) == EXAMPLES:
            break
    return tuple(found)
