"""Counts the hours of the times of a table: a clock of twelve hours that lost its AM and PM shows in all rows only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.errors import BadFile
from screening.intake.text.parse import Layout, Parsed
from screening.transactions.schema import CellKind, Role

ROWS, HOURS = 40, 10
"""So many rows in so many of the hours from 1 to 12, and none in any other: no customers sleep from 13 to 1."""
DAY, HOUR = 86_400, 3600


class HourWatch:
    """Watches the times of one table."""

    def __init__(self, layout: Layout) -> None:
        columns = layout.contract.parts()
        self._places = [place for place, column in enumerate(columns) if column.kind is CellKind.TIME]
        self._names = [columns[place].name for place in self._places]
        self._is_time = [columns[place].role is Role.TIME for place in self._places]
        self._hours = np.zeros((len(self._places), 24), np.int64)
        self._midnights = np.zeros(len(self._places), np.int64)

    def look(self, parsed: Parsed) -> None:
        """Count the hours of a block."""
        for number, place in enumerate(self._places):
            seconds = parsed.values[:, place]
            within = np.mod(seconds[~np.isnan(seconds)], DAY)
            self._hours[number] += np.bincount((within // HOUR).astype(np.int64), minlength=24)
            self._midnights[number] += np.count_nonzero(within == 0)

    def check(self) -> None:
        """Refuse a table whose times lost their AM and PM.

        Raises:
            BadFile: no time is from 13:00 to 0:59, and nearly every other hour has some.
        """
        for name, hours in zip(self._names, self._hours, strict=True):
            if not hours[0] + hours[13:].sum() and hours.sum() >= ROWS and _filled(hours[1:13]) >= HOURS:
                raise BadFile(
                    f"All {hours.sum():,} times in {name} are from 1:00 to 12:59: a clock of twelve hours whose AM and "
                    "PM were lost. Half of them would be read twelve hours too early.",
                    where=f"column {name}",
                    remedy="Export the times with AM and PM, or by a clock of 24 hours.",
                )

    @property
    def notes(self) -> list[str]:
        """What is said of times that are days only."""
        return [
            f"{name} has no time of day: every row was read as midnight."
            for name, is_time, hours, midnights in zip(
                self._names, self._is_time, self._hours, self._midnights, strict=True
            )
            if is_time and midnights > 1 and midnights == hours.sum()
        ]


def _filled(hours: NDArray[np.int64]) -> int:
    return int(np.count_nonzero(hours))
