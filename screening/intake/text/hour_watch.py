"""Counts the hours of the times of a table: a clock of twelve hours that lost its AM and PM shows in many rows only."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from screening.errors import BadFile
from screening.intake.text.parse import Layout, Parsed
from screening.transactions.schema import CellKind, Role

Floats = NDArray[np.float64]
# So many rows in so many of the hours from 1 to 12, and none in any other, have lost their PM: no customers
# sleep from 13 to 1.
ROWS, HOURS = 40, 10
# On so many days: a file sorted by time has the rows of one morning in a row.
DAYS = 3
LATE = 0.25
"""The share of other rows from 13:00 to 0:59 from which on their absence elsewhere says something."""
# From this share of rows at midnight on, times are days without a time of day: of whole hours it is a 24th.
MIDNIGHTS = 0.1
DAY, HOUR = 86_400, 3600


@dataclass(slots=True)
class _Stretch:
    """Rows that follow each other, none of them from 13:00 to 0:59."""

    first: int
    """The number of its first row, from 1."""
    rows: int = 0
    days: set[float] = field(default_factory=set)
    hours: NDArray[np.int64] = field(default_factory=lambda: np.zeros(24, np.int64))

    def add(self, within: Floats, days: Floats) -> None:
        self.rows += len(within)
        if len(self.days) < DAYS:
            self.days.update(np.unique(days).tolist())
        self.hours += by_hour(within)


@dataclass(slots=True)
class HourCounts:
    """Times of one column in each hour of the day; the counts of two parts of a table can be put together."""

    name: str
    is_time: bool
    """Whether it is the time of the transactions."""
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(24, np.int64))
    midnights: int = 0

    def add(self, within: Floats) -> None:
        """Count times, seconds since midnight each."""
        self.counts += by_hour(within)
        self.midnights += int(np.count_nonzero(within == 0))

    def merged(self, other: HourCounts) -> HourCounts:
        """Return the counts of both."""
        return HourCounts(
            self.name, self.is_time, self.counts + other.counts, self.midnights + other.midnights
        )

    @property
    def rows(self) -> int:
        """Number of all times."""
        return int(self.counts.sum())

    @property
    def late(self) -> int:
        """Number of rows from 13:00 to 0:59."""
        return int(self.counts[0] + self.counts[13:].sum())

    def check(self) -> None:
        """Refuse times that lost their AM and PM.

        Raises:
            BadFile: no time is from 13:00 to 0:59, and nearly every other hour has some.
        """
        if not self.late and self.rows >= ROWS and np.count_nonzero(self.counts) >= HOURS:
            raise BadFile(
                f"All {self.rows:,} times in {self.name} are from 1:00 to 12:59: a clock of twelve hours whose "
                "AM and PM were lost. Half of them would be read twelve hours too early.",
                where=f"column {self.name}",
                remedy="Export the times with AM and PM, or by a clock of 24 hours.",
            )

    @property
    def notes(self) -> list[str]:
        """Notes on times that are days only."""
        if self.is_time and self.midnights > 1 and self.midnights == self.rows:
            return [f"{self.name} has no time of day: every row was read as midnight."]
        if self.is_time and self.midnights > max(1, MIDNIGHTS * self.rows):
            shown = f"{self.name} is midnight in {self.midnights:,} of {self.rows:,} rows"
            uncertain = (
                "a day without a time of day is read so, and the probabilities of such rows are uncertain."
            )
            return [f"{shown}: {uncertain}"]
        return []


def hours_of(layout: Layout) -> dict[int, HourCounts]:
    """Return what counts the hours of a table's columns of times, by their places among the contract's columns."""
    return {
        place: HourCounts(column.name, is_time=column.role is Role.TIME)
        for place, column in enumerate(layout.contract.parts())
        if column.kind is CellKind.TIME
    }


class _Stretches:
    """The longest stretch of one column."""

    def __init__(self, hours: HourCounts) -> None:
        self.hours = hours
        self._row = 1
        self._open = _Stretch(1)
        self._longest = self._open

    def look(self, seconds: Floats) -> None:
        """Count the hours of a block's column, (rows,) in seconds since 1970, NaN where there is none."""
        known = np.flatnonzero(~np.isnan(seconds))
        moments = seconds[known]
        within = np.mod(moments, DAY)
        self.hours.add(within)
        ends = np.flatnonzero((within < HOUR) | (within >= 13 * HOUR))
        starts = np.concatenate([[0], ends + 1])
        # of the stretches of a block the first and last, which may go on, and the longest
        lengths = np.append(ends, len(known)) - starts
        for number in sorted({0, int(np.argmax(lengths)), len(starts) - 1}):
            begin, end = starts[number], ends[number] if number < len(ends) else len(known)
            if number > 0:
                at = int(known[begin]) if begin < len(known) else len(seconds)
                self._open = _Stretch(self._row + at)
            self._open.add(within[begin:end], moments[begin:end] // DAY)
            if self._open.rows > self._longest.rows:
                self._longest = self._open
        self._row += len(seconds)

    @property
    def stretch(self) -> _Stretch | None:
        """The rows of a part of the table that seem to have lost their AM and PM."""
        found, others = self._longest, self.hours.rows - self._longest.rows
        lost = found.rows >= ROWS and len(found.days) >= DAYS and np.count_nonzero(found.hours) >= HOURS
        return found if lost and others >= ROWS and self.hours.late >= LATE * others else None


class HourWatch:
    """Watches the times of one table."""

    def __init__(self, layout: Layout) -> None:
        self._columns = {place: _Stretches(hours) for place, hours in hours_of(layout).items()}

    def look(self, parsed: Parsed) -> None:
        """Count the hours of a block."""
        for place, column in self._columns.items():
            column.look(parsed.values[:, place])

    def check(self) -> None:
        """Refuse a table whose times lost their AM and PM.

        Raises:
            BadFile: as :meth:`HourCounts.check`.
        """
        for column in self._columns.values():
            column.hours.check()

    @property
    def notes(self) -> list[str]:
        """Notes on times that are days only, and on a part that may have lost its AM and PM."""
        found = []
        for column in self._columns.values():
            found += column.hours.notes
            if (part := column.stretch) is not None:
                found.append(
                    f"{column.hours.name} is from 1:00 to 12:59 in all of {part.rows:,} rows from row {part.first:,} "
                    "on, and in other rows it is not: if another system wrote them without AM and PM, some were read "
                    "twelve hours too early."
                )
        return found


def by_hour(within: Floats) -> NDArray[np.int64]:
    """Count seconds since midnight by hour: (24,)."""
    return np.bincount((within // HOUR).astype(np.int64), minlength=24)
