"""One root for everything that a user or an operator can fix.

Every :class:`ScreeningError` says *what* is wrong, *where*, and what to do about it (*remedy*). One handler in
:mod:`screening.web` turns it into a page or an ``application/problem+json`` body; the command line prints it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self


@dataclass(frozen=True, slots=True)
class CellProblem:
    """One cell, row or column of an input that can't be used.

    ``row`` counts data rows from 1 (the header is not a row); ``line`` counts lines of the file from 1, or is
    ``None`` where the format has no lines. ``value`` is a shortened excerpt that is safe to show: never a card number.
    """

    problem: str
    column: str | None = None
    row: int | None = None
    line: int | None = None
    value: str | None = None

    def __str__(self) -> str:
        place = [f"row {self.row}" if self.row else "", f"column {self.column}" if self.column else ""]
        where = ", ".join(part for part in place if part)
        return f"{where}: {self.problem}" if where else self.problem


@dataclass
class ScreeningError(Exception):
    """An error that says what is wrong, where, and what to do. ``status`` is the HTTP status it is answered with."""

    what: str
    where: str | None = None
    remedy: str | None = None
    problems: list[CellProblem] = field(default_factory=list)
    problem_count: int = 0
    """Number of cells or rows that are wrong in all; ``problems`` holds the first few."""

    status: ClassVar[int] = 400
    title: ClassVar[str] = "This can't be used as it is"

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.where and f"({self.where})", self.remedy) if part)

    def headers(self) -> dict[str, str]:
        """Return the headers of the answer, for errors whose protocol asks for some."""
        return {}

    def as_dict(self) -> dict[str, Any]:
        """Return the error as plain JSON types, to be kept with a failed screening and shown to whoever asked.

        Where on the server's disk a file lies is the operator's business (``str`` says it): users are told its name.
        """
        where = os.path.basename(self.where) if self.where and os.path.isabs(self.where) else self.where  # noqa: PTH117, PTH119
        return {
            "title": self.title,
            "status": self.status,
            "what": self.what,
            "where": where,
            "remedy": self.remedy,
            "problems": [asdict(problem) for problem in self.problems],
            "problem_count": max(self.problem_count, len(self.problems)),
        }


class BadSetting(ScreeningError):
    """An environment variable holds a value that can't be used: the start stops."""

    status = 500
    title = "A setting is wrong"


class BadArtefact(ScreeningError):
    """A model or vectorizer file is missing, damaged, unsafe, or doesn't belong to the other: the start stops."""

    status = 503
    title = "The detector can't be loaded"


class NotReady(ScreeningError):
    """A part that the answer needs is not there at the moment."""

    status = 503
    title = "Not ready"


class StorageFull(ScreeningError):
    """The disk is full: nothing was changed."""

    status = 507
    title = "No room left on the server"


class BadFile(ScreeningError):
    """An uploaded file can't be screened."""

    status = 400
    title = "This file can't be screened"


class ColumnsMissing(BadFile):
    """A file lacks columns by their names: it may have them under others."""

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "columns_missing": True}


@dataclass
class ColumnsUnclear(ColumnsMissing):
    """A file has the columns, and it isn't certain which of them are meant together."""

    made: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Of what a detector's columns may be made, where the first rows don't show it: columns by what they are to it."""
    row: int | None = None
    """The first row that shows it, from 1."""

    title: ClassVar[str] = "It must be said which columns are meant"

    def as_dict(self) -> dict[str, Any]:
        found = super().as_dict()
        if self.made:
            found |= {"made": {name: dict(parts) for name, parts in self.made.items()}, "row": self.row}
        return found


@dataclass
class CardNumbersFound(BadFile):
    """Columns of a file hold payment card numbers; ``columns`` are their names, as they may be shown."""

    columns: tuple[str, ...] = ()
    places: tuple[int, ...] = ()
    """Places of these columns, from 0."""

    title: ClassVar[str] = "This file holds payment card numbers"

    @classmethod
    def of(cls, columns: Sequence[str], places: Sequence[int] = ()) -> Self:
        """Say which columns do."""
        names = ", ".join(columns)
        one = len(columns) == 1
        options = [f'--tokenize "{name}"' if " " in name else f"--tokenize {name}" for name in columns]
        return cls(
            f"{'Column' if one else 'Columns'} {names} {'holds' if one else 'hold'} payment card numbers, which must "
            "not be kept here (PCI DSS).",
            where=f"{'column' if one else 'columns'} {names}",
            remedy="Remove the column, or replace each number by a token, the same one for the same card. That is done "
            "here on the page of the file, by programs with tokenize=1, on the command line with "
            f"{' '.join(options)}.",
            columns=tuple(columns),
            places=tuple(places),
        )

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "card_columns": list(self.columns)}


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a column: the answer that chooses it, its words, and some cells with what they would be."""

    answer: str
    words: str
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A question that a column leaves open. ``option`` is that of the command line which answers it."""

    option: str
    column: str
    words: str
    readings: tuple[Reading, ...]


@dataclass
class Undecided(BadFile):
    """A file can be read in more than one way: whoever sent it must say which one is meant."""

    questions: tuple[Question, ...] = ()
    again: bool = False
    """Whether what was answered for earlier files can't be taken: the cells speak against it."""

    title: ClassVar[str] = "This file can be read in two ways"

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), "questions": [asdict(question) for question in self.questions]}


class UnsupportedKind(BadFile):
    """An uploaded file is of a kind that is not read here."""

    status = 415
    title = "This kind of file isn't read here"


class TooLarge(BadFile):
    """An uploaded file is larger than allowed, or unpacks to more than allowed."""

    status = 413
    title = "This file is too large"


class BadTransaction(ScreeningError):
    """A transaction given as JSON lacks a column or holds something that isn't a finite number."""

    status = 422
    title = "This transaction can't be scored"


class NotFound(ScreeningError):
    """The object doesn't exist, or belongs to somebody else (the answer is the same)."""

    status = 404
    title = "Not found"


class Conflict(ScreeningError):
    """The request contradicts what is there (a taken name, the last admin)."""

    status = 409
    title = "This can't be done now"
