"""The column contract: the only list of columns in the project, and how a header is matched with it.

Names decide, never positions: the old project trained on one order and served another, and nobody noticed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.errors import BadFile, CellProblem, ColumnsMissing
from screening.transactions.times import EARLIEST, Since

Matrix = NDArray[np.float64]
SHOWN_NAMES = 8


@dataclass(frozen=True, slots=True)
class Transactions:
    """Numbers with their names: ``values`` is float64 of shape (rows, len(columns))."""

    columns: tuple[str, ...]
    values: Matrix

    def __len__(self) -> int:
        return len(self.values)

    def column(self, name: str) -> Matrix:
        """One column, shape (rows,)."""
        return self.values[:, self.columns.index(name)]


class CellKind(StrEnum):
    """What a column's cells are, and so which number stands for each."""

    NUMBER = "number"
    TEXT = "text"
    """A 53-bit code of the text: only equality means something."""
    TIME = "time"
    """Seconds since 1970."""
    ADDRESS = "address"
    """An IP address: IPv4 as a number, IPv6 as a negative code."""


class Role(StrEnum):
    """What a column is to a detector."""

    LABEL = "label"
    TIME = "time"
    """When the transaction happened; one column at most."""
    MOMENT = "moment"
    """Another date, such as the sign-up."""
    AMOUNT = "amount"
    """One column at most."""
    ENTITY = "entity"
    """Who or what comes back: customer, card, terminal, device, address."""
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
    since: Since | None = None
    """What the numbers of a time count from a start that nobody names; they are seconds once they have been read."""

    @property
    def scale(self) -> float:
        """What a number is multiplied with as it is read."""
        return 1.0 if self.since is None else self.since.seconds

    @property
    def least(self) -> float | None:
        """The least number that can be meant, if there is one: no transaction happened before 1970."""
        return EARLIEST if self.role is Role.TIME and self.kind is CellKind.TIME else None


@dataclass(frozen=True, slots=True)
class ColumnContract:
    """Which columns a detector needs, in the order that its net was trained in, and which play a part.

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
    since: Since | None = None
    """What the numbers of the time count, where they count from a start that nobody names."""
    aliases: tuple[tuple[str, str], ...] = ()
    """What some columns are called in the file at hand; no part of what the contract is."""

    @classmethod
    def of(cls, columns: Sequence[Column]) -> ColumnContract:
        """The contract of columns with roles; those that play no part are left out."""
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
        )

    @property
    def plain(self) -> bool:
        """Whether every column is a number that must be there, and is meant as it is written."""
        return not self.optional and self.since is None and set(self.kinds) <= {CellKind.NUMBER}

    @property
    def has_calendar(self) -> bool:
        """Whether the time of a transaction is a date, and not seconds since something unknown."""
        return self.time is not None and CellKind.TIME in self.kinds and _has_calendar(self)

    def parts(self) -> tuple[Column, ...]:
        """The columns with their roles and kinds, in order."""
        return _parts(self)

    def _role(self, name: str) -> Role:
        return {self.time: Role.TIME, self.amount: Role.AMOUNT}.get(name, Role.NUMBER)

    def as_dict(self) -> dict[str, Any]:
        """The contract as JSON types; hashed into the detector's fingerprint."""
        found = {"columns": list(self.columns), "label": self.label, "time": self.time, "amount": self.amount}
        if self.roles:
            found["kinds"] = [kind.value for kind in self.kinds]
            found["roles"] = [role.value for role in self.roles]
            found["optional"] = list(self.optional)
        if self.since is not None:  # only then: other contracts keep the fingerprint that they always had
            found["since"] = self.since.value
        return found

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> ColumnContract:
        """The contract that :meth:`as_dict` wrote.

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
            since=None if found.get("since") is None else Since(found["since"]),
        )
        counted = [part for part in contract.parts() if part.since is not None]  # as many roles as columns
        if (contract.since is not None) != bool(counted) or any(
            part.kind is not CellKind.NUMBER for part in counted
        ):
            raise ValueError("what counts since a start must be a time that is a number")
        return contract

    def match(self, header: Sequence[str]) -> dict[str, int]:
        """Where each contract column (and the label, when there) stands in ``header``.

        Names are compared without case and surrounding spaces.

        Raises:
            BadFile: a column is missing or stands twice; ``problems`` names each.
        """
        called = {ours: normalise(theirs) for ours, theirs in self.aliases}
        names = [normalise(name) for name in header]
        count = Counter(names)
        wanted = [*self.columns, *([self.label] if self.label else [])]
        known = {name: called.get(name, normalise(name)) for name in wanted}
        twice = [name for name in wanted if count[known[name]] > 1]
        if twice:
            raise BadFile(
                f"{_listed('Column', twice)} more than once in the header.",
                remedy="Keep one column of each name; it can't be guessed which one is meant.",
                problems=[CellProblem("appears more than once", column=name) for name in twice],
            )
        missing = [name for name in self.columns if not count[known[name]]]
        if missing:
            raise ColumnsMissing(
                f"{_listed('Column', missing)} missing. {_seen(header)}",
                remedy=f"The first line must name these columns, in any order: {_short(self.columns)}.",
                problems=[CellProblem("is missing", column=name) for name in missing[:SHOWN_NAMES]],
                problem_count=len(missing),
            )
        return {name: names.index(known[name]) for name in wanted if count[known[name]]}


@lru_cache(maxsize=64)
def _parts(contract: ColumnContract) -> tuple[Column, ...]:
    """The columns of a contract: asked for with every transaction, so they are made once."""
    kinds = contract.kinds or (CellKind.NUMBER,) * len(contract.columns)
    roles = contract.roles or tuple(contract._role(name) for name in contract.columns)  # noqa: SLF001
    return tuple(
        Column(name, role, kind, name in contract.optional, contract.since if role is Role.TIME else None)
        for name, role, kind in zip(contract.columns, roles, kinds, strict=True)
    )


@lru_cache(maxsize=64)
def _has_calendar(contract: ColumnContract) -> bool:
    return any(column.name == contract.time and column.kind is CellKind.TIME for column in contract.parts())


def normalise(name: object) -> str:
    """A column name as it is compared: no surrounding white space, no byte order mark, no case."""
    return str(name).strip().strip("\ufeff").strip().casefold()


def _listed(word: str, names: Sequence[str]) -> str:
    return f"{word} {names[0]} is" if len(names) == 1 else f"{word}s {_short(names)} are"


def _short(names: Sequence[str]) -> str:
    """At most eight of them, and how many more there are."""
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
