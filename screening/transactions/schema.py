"""The column contract: the only list of columns in the project, and how a header is matched with it.

Names decide, never positions: the old project trained on one order and served another, and nobody noticed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import BadFile, CellProblem, ColumnsMissing
from screening.transactions.amount_units import AmountUnit
from screening.transactions.composition import Composition, ValuePart
from screening.transactions.guards import bare
from screening.transactions.times import EARLIEST, StartUnit

Matrix = NDArray[np.float64]
SHOWN_NAMES = 8
Parts = tuple[tuple[tuple[ValuePart, str], ...], tuple[int, ...]]
"""Parts of a value, and the places of their columns."""


@dataclass(frozen=True, slots=True)
class Transactions:
    """Numbers with their names: ``values`` is float64 of shape (rows, len(columns))."""

    columns: tuple[str, ...]
    values: Matrix

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> Matrix:
        """Return one column, shape (rows,)."""
        return self.values[:, self.columns.index(name)]


class CellKind(StrEnum):
    """Kinds of a column's cells, each with its own number for a cell."""

    NUMBER = "number"
    TEXT = "text"
    """A 53-bit code of the text: only equality means something."""
    TIME = "time"
    """Seconds since 1970."""
    ADDRESS = "address"
    """An IP address: IPv4 as a number, IPv6 as a negative code."""
    LENGTH = "length"
    """The number of characters of a text whose words are too many to count."""
    DOMAIN = "domain"
    """The code of an e-mail address's domain, and of all of a text that is no such address."""


# For these kinds the text says something that a person may search for, and its number doesn't.
WORDED = frozenset({CellKind.TEXT, CellKind.ADDRESS, CellKind.LENGTH, CellKind.DOMAIN})


class Role(StrEnum):
    """Roles that a column can play for a detector."""

    LABEL = "label"
    TIME = "time"
    """Time of the transaction; one column at most."""
    MOMENT = "moment"
    """Another date, such as the sign-up."""
    AMOUNT = "amount"
    """One column at most."""
    ENTITY = "entity"
    """Somebody or something that comes back: customer, card, terminal, device, address."""
    CATEGORY = "category"
    NUMBER = "number"
    CARRY = "carry"
    """An identifier that is handed through and plays no part."""
    IGNORE = "ignore"


UNUSED = (Role.LABEL, Role.CARRY, Role.IGNORE)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a file and what it is to a detector."""

    name: str
    role: Role
    kind: CellKind = CellKind.NUMBER
    optional: bool = False
    """Whether its cells may be blank."""
    since: StartUnit | None = None
    """Unit in which a time counts from a start that nobody names; they are seconds once they have been read."""
    made: Composition | None = None
    """Composition, if the file has it in several columns; it needn't be one of the file's then."""

    @property
    def scale(self) -> float:
        """Factor that a number is multiplied by as it is read."""
        return 1.0 if self.since is None else self.since.seconds

    @property
    def least(self) -> float | None:
        """The least number that can be meant, if there is one: no transaction happened before 1970."""
        return EARLIEST if self.role is Role.TIME and self.kind is CellKind.TIME else None


@dataclass(frozen=True, slots=True)
class ColumnContract:
    """Columns that a detector needs, in the order that its net was trained in, with their roles.

    ``kinds`` and ``roles`` go along ``columns``; without them every column is a number. ``optional`` names the
    columns whose cells may be blank.
    """

    columns: tuple[str, ...]
    label: str | None = None
    time: str | None = None
    amount: str | None = None
    kinds: tuple[CellKind, ...] = ()
    roles: tuple[Role, ...] = ()
    optional: tuple[str, ...] = ()
    since: StartUnit | None = None
    """Unit in which the time counts, if it counts from a start that nobody names."""
    aliases: tuple[tuple[str, str], ...] = ()
    """Names of some columns in the file at hand; no part of what the contract is."""
    composed: tuple[tuple[str, Composition], ...] = ()
    """Columns that are made of several of the file's. Where the detector learned it so it is part of what the contract
    is, else it is said of the file at hand."""
    apart: tuple[str, ...] = ()
    """Columns of the training data that could have been a part of a value and, as a person decided, are none."""
    watched: tuple[str, ...] = ()
    """Columns of the file at hand whose words are counted, since further down they may say which way the money goes or
    name other currencies; no part of what it is."""
    unit: AmountUnit = AmountUnit.WHOLE
    """Unit of the amounts in the file at hand; no part of what it is."""

    @classmethod
    def of(cls, columns: Sequence[Column]) -> ColumnContract:
        """Return the contract of columns with roles; those that play no part are left out."""
        used = [column for column in columns if column.role not in UNUSED]
        first = {column.role: column.name for column in reversed(columns)}
        return cls(
            tuple(column.name for column in used),
            label=first.get(Role.LABEL),
            time=first.get(Role.TIME),
            amount=first.get(Role.AMOUNT),
            kinds=tuple(column.kind for column in used),
            roles=tuple(column.role for column in used),
            optional=tuple(column.name for column in used if column.optional),
            since=next((column.since for column in used if column.role is Role.TIME), None),
            composed=tuple((column.name, column.made) for column in used if column.made is not None),
            apart=tuple(
                dict.fromkeys(
                    part
                    for column in columns
                    if column not in used and column.made is not None
                    for part in column.made.columns
                )
            ),
        )

    @property
    def plain(self) -> bool:
        """Return whether every column is a number that must be there, and is meant as it is written."""
        return not self.optional and self.since is None and set(self.kinds) <= {CellKind.NUMBER}

    @property
    def has_calendar(self) -> bool:
        """Return whether the time of a transaction is a date, and not seconds since something unknown."""
        return self.time is not None and CellKind.TIME in self.kinds and _has_calendar(self)

    def parts(self) -> tuple[Column, ...]:
        """Return the columns with their roles and kinds, in order."""
        return parts_of(self)

    def as_dict(self) -> dict[str, Any]:
        """Return the contract as JSON types; hashed into the detector's fingerprint."""
        found: dict[str, Any] = {
            "columns": list(self.columns),
            "label": self.label,
            "time": self.time,
            "amount": self.amount,
        }
        if self.roles:
            found["kinds"] = [kind.value for kind in self.kinds]
            found["roles"] = [role.value for role in self.roles]
            found["optional"] = list(self.optional)
        # only then: other contracts keep the fingerprint that they always had
        if self.since is not None:
            found["since"] = self.since.value
        if self.composed:
            found["composed"] = {name: made.as_dict for name, made in self.composed}
        if self.apart:
            found["apart"] = list(self.apart)
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> ColumnContract:
        """Return the contract that :meth:`as_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError: it isn't one.
        """
        label, time, amount = (
            None if found[part] is None else str(found[part]) for part in ("label", "time", "amount")
        )
        contract = cls(
            tuple(map(str, found["columns"])),
            label,
            time,
            amount,
            kinds=tuple(map(CellKind, found.get("kinds", ()))),
            roles=tuple(map(Role, found.get("roles", ()))),
            optional=tuple(map(str, found.get("optional", ()))),
            since=None if found.get("since") is None else StartUnit(found["since"]),
            composed=tuple(
                (str(name), Composition.of(parts)) for name, parts in found.get("composed", {}).items()
            ),
            apart=tuple(map(str, found.get("apart", ()))),
        )
        counted = [part for part in contract.parts() if part.since is not None]  # as many roles as columns
        if (contract.since is not None) != bool(counted) or any(
            part.kind is not CellKind.NUMBER for part in counted
        ):
            raise ValueError("what counts since a start must be a time that is a number")
        return contract

    def mapped(self, columns: Mapping[str, str | Composition]) -> ColumnContract:
        """Return the contract for a file that has its columns under other names, or in several.

        Args:
            columns: for each of the contract's the file's, or what it is made of.
        """
        return replace(
            self,
            aliases=tuple((ours, theirs) for ours, theirs in columns.items() if isinstance(theirs, str)),
            composed=tuple(
                (ours, theirs) for ours, theirs in columns.items() if isinstance(theirs, Composition)
            ),
        )

    def match(self, header: Sequence[str]) -> dict[str, int]:
        """Return the place in ``header`` of each contract column (and of the label, when there), but those that are
        composed.

        Names are compared without case and surrounding spaces.

        Raises:
            BadFile: a column is missing or stands twice; ``problems`` names each.
        """
        return self.places(header)[0]

    def fits(self, header: Sequence[str]) -> bool:
        """Return whether :meth:`match` finds every column in ``header``, each once."""
        try:
            self.match(header)
        except BadFile:
            return False
        return True

    def needed(self, header: Sequence[str]) -> set[int]:
        """Return the places of the columns that are read, and of the label.

        Raises:
            BadFile: as :meth:`match`.
        """
        places, parts = self.places(header)
        return {*places.values(), *(place for _, each in parts.values() for place in each)}

    def made(self, header: Sequence[str]) -> ColumnContract:
        """Return the contract with those of its compositions that this header has.

        Raises:
            BadFile: as :meth:`match`.
        """
        if not self.composed:
            return self
        _, parts = self.places(header)
        return replace(self, composed=tuple((name, made) for name, made in self.composed if name in parts))

    def places(self, header: Sequence[str]) -> tuple[dict[str, int], dict[str, Parts]]:
        """Return the places of single columns, and the parts of the composed ones: by their parts, or by their own
        name.

        Raises:
            BadFile: as :meth:`match`.
        """
        called = {ours: normalise(theirs) for ours, theirs in self.aliases}
        names = [normalise(name) for name in header]
        count = Counter(names)
        made = {
            name: each
            for name, each in self.composed
            if normalise(name) not in count or all(count[normalise(part)] for part in each.columns)
        }
        single = [name for name in self.columns if name not in made]
        wanted = [*single, *([self.label] if self.label else [])]
        known = {name: called.get(name, normalise(name)) for name in wanted}
        of_parts = {part: normalise(part) for each in made.values() for part in each.columns}
        twice = [name for name, theirs in {**known, **of_parts}.items() if count[theirs] > 1]
        if twice:
            raise BadFile(
                f"{listed('Column', twice)} more than once in the header.",
                remedy="Keep one column of each name; it can't be guessed which one is meant.",
                problems=[CellProblem("appears more than once", column=name) for name in twice],
            )
        needed = {name: known[name] for name in single} | of_parts
        missing = [name for name, theirs in needed.items() if not count[theirs]]
        if missing:
            raise ColumnsMissing(
                f"{listed('Column', missing)} missing. {_seen(header)}",
                remedy=f"The first line must name these columns, in any order: {short_list(list(needed))}.",
                problems=[CellProblem("is missing", column=name) for name in missing[:SHOWN_NAMES]],
                problem_count=len(missing),
            )
        places = {name: names.index(known[name]) for name in wanted if count[known[name]]}
        parts = {
            name: (each.parts, tuple(names.index(normalise(part)) for part in each.columns))
            for name, each in made.items()
        }
        return places, parts


@lru_cache(maxsize=64)
def parts_of(contract: ColumnContract) -> tuple[Column, ...]:
    """Return the columns of a contract: asked for with every transaction, so they are made once."""
    kinds = contract.kinds or (CellKind.NUMBER,) * len(contract.columns)
    named = {contract.time: Role.TIME, contract.amount: Role.AMOUNT}
    roles = contract.roles or tuple(named.get(name, Role.NUMBER) for name in contract.columns)
    made = dict(contract.composed)
    return tuple(
        Column(
            name,
            role,
            kind,
            name in contract.optional,
            contract.since if role is Role.TIME else None,
            made.get(name),
        )
        for name, role, kind in zip(contract.columns, roles, kinds, strict=True)
    )


@lru_cache(maxsize=64)
def _has_calendar(contract: ColumnContract) -> bool:
    return any(column.name == contract.time and column.kind is CellKind.TIME for column in contract.parts())


def normalise(name: object) -> str:
    """Return a column name as it is compared: no surrounding white space, no marks that nobody sees, no case."""
    plain = str(name).strip()
    return (plain if plain.isascii() else bare(plain)).casefold()


def listed(word: str, names: Sequence[str]) -> str:
    """Return the columns with the verb that goes with their number."""
    return f"{word} {names[0]} is" if len(names) == 1 else f"{word}s {short_list(names)} are"


def short_list(names: Sequence[str]) -> str:
    """Return at most eight of them, and how many more there are."""
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def _seen(header: Sequence[str]) -> str:
    shown = ", ".join(str(name).strip()[:30] or "(no name)" for name in list(header)[:SHOWN_NAMES])
    more = f" and {len(header) - SHOWN_NAMES} more" if len(header) > SHOWN_NAMES else ""
    return f"The file has: {shown}{more}." if header else "The file has no columns."


CARD = ColumnContract(
    columns=("Time", *(f"V{number}" for number in range(1, 29)), "Amount"),
    label="Class",
    time="Time",
    amount="Amount",
)
"""The ULB card columns, in the order that the old project's notebook trained in."""
