"""Of how many customers, cards or devices of a file nothing is known, and how many of their frauds were caught."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.transactions.schema import ColumnContract, Matrix, Role

MUCH = 0.2
"""From this share of one kind on it is worth a banner."""


@dataclass(frozen=True, slots=True)
class MissingPast:
    """Rows of a file whose past is missing.

    Args:
        kinds: for each column that says whom a row is about: its name, how many it names, and how many of these have
            no earlier transaction.
        lacking: bool (rows scored,): rows about one that has none before this file.
        begins: the time of the first row, in seconds, where the data have a calendar.
        seconds: how far back the detector looks.
    """

    kinds: tuple[tuple[str, int, int], ...]
    lacking: NDArray[np.bool_]
    begins: float | None
    seconds: float

    @property
    def much(self) -> bool:
        """Return whether of one kind a good part has no past."""
        return any(new >= MUCH * count for _, count, new in self.kinds if count)

    def told(self, label: NDArray[np.int8] | None, flagged: NDArray[np.bool_]) -> dict[str, Any]:
        """Return what is kept with the outcome.

        Args:
            label: (rows scored,), -1 where unknown; ``None`` where the file has none.
            flagged: (rows scored,).
        """
        caught = None
        if label is not None:
            fraud = label == 1
            caught = {
                name: [int((fraud & part & flagged).sum()), int((fraud & part).sum())]
                for name, part in (("lacking", self.lacking), ("known", ~self.lacking))
            }
        return {
            "kinds": [list(each) for each in self.kinds],
            "rows": int(self.lacking.sum()),
            "begins": self.begins,
            "days": self.seconds / 86_400,
            "caught": caught,
        }


def missing_past(
    contract: ColumnContract, values: Matrix, past: Matrix | None, *, seconds: float
) -> MissingPast | None:
    """Look whom the rows of a file are about, and of whom nothing earlier is known.

    Args:
        contract: the detector's.
        values: (rows, columns of the contract); who a row is about as a code, NaN where it says nothing.
        past: (earlier rows, columns); ``None`` where there are none.
        seconds: how far back the detector looks.

    Returns:
        ``None`` for a detector whose rows are about nobody in particular.
    """
    places = [at for at, role in enumerate(contract.roles) if role is Role.ENTITY]
    if not places:
        return None
    kinds, lacking = [], np.zeros(len(values), bool)
    for at in places:
        there = ~np.isnan(values[:, at])
        found, whose = np.unique(values[there, at], return_inverse=True)
        new = np.ones(len(found), bool) if past is None else ~np.isin(found, past[:, at])
        kinds.append((contract.columns[at], len(found), int(new.sum())))
        lacking[there] |= new[whose]
    begins = None
    if contract.time is not None and contract.has_calendar:
        times = values[:, contract.columns.index(contract.time)]
        begins = None if np.isnan(times).all() else float(np.nanmin(times))
    return MissingPast(tuple(kinds), lacking, begins, seconds)
