"""The filters of the data API: a query string read strictly, and what the caller may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from flask import request

from screening.errors import CellProblem, ScreeningError
from screening.ledger.fields import ENTITIES
from screening.ledger.filters import Basis, Filter
from screening.ledger.tables import API, FILE
from screening.web.http.sessions import may, user

T = TypeVar("T")
MOST_CHARACTERS = 200
COMMON = ("from", "to", "detector", "fraud_type", "country", "source", "basis")


class BadQuery(ScreeningError):
    """A parameter of the query string that can't be used."""

    status = 400
    title = "This question can't be answered"


def chosen(*more: str) -> Filter:
    """Return the filter of this request: which rows, and of them those that the caller may see.

    Args:
        more: parameters that the route takes besides the common ones.

    Raises:
        BadQuery: a parameter is unknown, stands twice, or isn't of its kind; the first one is named.
    """
    known = (*COMMON, *more)
    for name in request.args:
        if name not in known:
            raise _refused(name, "is no parameter here", f"These are: {', '.join(known)}.")
        if len(request.args.getlist(name)) > 1:
            raise _refused(name, "appears more than once", "Give it once.")
    given: dict[str, Any] = {
        field: read
        for name, (field, reader) in READERS.items()
        if name in known and (read := value(name, reader)) is not None
    }
    return Filter(owner=None if may("see_all") else user().username.casefold(), **given)


def value(name: str, read: Callable[[str], T]) -> T | None:
    """Return what a parameter says; ``None`` where it isn't given or is blank.

    Raises:
        BadQuery: ``read`` refused it with a ``ValueError``, whose words say what it must be.
    """
    raw = request.args.get(name, "").strip()
    if not raw:
        return None
    if len(raw) > MOST_CHARACTERS:
        raise _refused(name, "is too long", f"It has at most {MOST_CHARACTERS} characters.")
    try:
        return read(raw)
    except ValueError as problem:
        raise _refused(name, "can't be used", f"It must be {problem}.") from None


def one_of(names: Mapping[str, T]) -> Callable[[str], T]:
    """Return what reads one of some words."""

    def read(raw: str) -> T:
        if raw not in names:
            raise ValueError(f"one of {', '.join(names)}")
        return names[raw]

    return read


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a whole number between two others, both included."""

    def read(raw: str) -> int:
        if not (raw.isascii() and raw.isdigit() and len(raw) < 10 and low <= int(raw) <= high):
            raise ValueError(f"a whole number from {low} to {high}")
        return int(raw)

    return read


def moment(raw: str) -> datetime:
    """Return a time; one without a zone is UTC.

    Raises:
        ValueError: it isn't written as ISO 8601 says.
    """
    try:
        found = datetime.fromisoformat(raw)
    except ValueError:
        raise ValueError("a time as 2026-01-31 or 2026-01-31T23:59:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _share(raw: str) -> float:
    try:
        found = float(raw)
    except ValueError:
        found = -1.0
    if not 0 <= found <= 1:
        raise ValueError("a number from 0 to 1")
    return found


def _entity(raw: str) -> tuple[str, str]:
    kind, colon, name = raw.partition(":")
    if kind not in ENTITIES or not colon or not name:
        raise ValueError(f"KIND:VALUE, where KIND is one of {', '.join(ENTITIES)}")
    return kind, name


READERS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "from": ("start", moment),
    "to": ("end", moment),
    "detector": ("detector", str),
    "fraud_type": ("fraud_type", str),
    "country": ("country", str),
    "source": ("source", one_of({FILE: FILE, API: API})),
    "basis": ("basis", one_of({basis.value: basis for basis in Basis})),
    "entity": ("entity", _entity),
    "flagged": ("flagged", one_of({"true": True, "false": False})),
    "label": ("label", one_of({"fraud": 1, "legitimate": 0})),
    "min_probability": ("min_probability", _share),
    "screening": ("screening", str),
}
"""For each parameter the field of :class:`screening.ledger.questions.Filter` and what reads it."""


def _refused(name: str, problem: str, remedy: str) -> BadQuery:
    return BadQuery(
        f"The parameter “{name[:40]}” {problem}.",
        where=f"query string, {name[:40]}",
        remedy=remedy,
        problems=[CellProblem(problem, column=name[:40])],
    )
