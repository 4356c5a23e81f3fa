"""Entries of requests in the velocity state, and who may see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from screening.features import Definition
from screening.transactions.schema import Matrix


class StaleRead(Exception):
    """Rows came in that count for a request which was scored without them."""


@dataclass(frozen=True, slots=True)
class TrainedSubject:
    """Subject of a past: a detector, as it was trained once."""

    detector: str
    fingerprint: str
    number: int
    """In the tables."""
    columns: int
    """Number of columns of its contract."""
    time: int
    """The place of the time among the columns."""
    tracked: tuple[int, ...]
    """The places of the entities that features look back on."""
    horizon: float
    """Seconds that features look back at most."""


def places_of(definition: Definition) -> tuple[int, tuple[int, ...]]:
    """Return the places of the time and of the entities that a definition which looks back goes by."""
    columns = definition.contract.columns
    return columns.index(str(definition.contract.time)), tuple(map(columns.index, definition.tracked))


class Viewer(NamedTuple):
    """Viewer of a velocity state, for whom some of its rows count."""

    owner: str
    """Its own always do."""
    everybody: bool = False
    """Whether all do."""
    shared: bool = True
    """Whether those do that count for all."""

    def sees(self, owner: str, *, shared: bool) -> bool:
        """Tell whether a row counts."""
        return self.everybody or (shared and self.shared) or owner == self.owner


@dataclass(frozen=True, slots=True, kw_only=True)
class VelocityEntry:
    """The rows of one request, scored as if nothing had come after ``read_at``."""

    subject: TrainedSubject
    viewer: Viewer
    """Viewer with whose view they were scored; they are that owner's rows."""
    shared: bool
    """Whether they count for all."""
    values: Matrix
    """float64 (rows, columns of the contract)."""
    labels: NDArray[np.int8]
    """(rows,), -1 where it isn't known."""
    ids: tuple[str, ...]
    """Of the transactions."""
    read_at: int
    """The number of the last row that was there when the past was read."""
    repeated: int = 0
    """Rows that were there already, as they are."""
    company: object = field(default_factory=object)
    """One object for all requests whose rows were scored together, and so saw each other."""
