"""Gather the problems of a file over its rows: whether it is refused, and the words for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from screening.errors import BadFile, CellProblem
from screening.intake.batch import ReadLimits
from screening.intake.text.parse import Parsed
from screening.intake.text.records import Block

SET_ASIDE = "or tick 'score the good rows and list the bad ones'"


class ProblemTally:
    """Counts the problems of a file and keeps the first few."""

    def __init__(self, limits: ReadLimits, *, set_aside: bool, lines: bool, all_bad: bool = False) -> None:
        self._limits, self._set_aside, self._lines = limits, set_aside, lines
        self._all_bad = all_bad
        self._first: list[CellProblem] = []
        self._count = self._rows = 0
        self._broken = False

    @property
    def refused(self) -> bool:
        """Return whether the file can't be scored any more: what is still read is read to count its problems."""
        return self._broken or (self._count > 0 and not self._set_aside)

    @property
    def problems(self) -> list[CellProblem]:
        """The first problems."""
        return self._first[:]

    @property
    def first(self) -> str | None:
        """Place of the first one."""
        return str(self._first[0]) if self._first else None

    def check_block(self, block: Block, stops: NDArray[np.int64], row: int, line: int) -> None:
        """Refuse a block whose records can't be told apart.

        Raises:
            BadFile: a quotation mark that is never closed, NUL bytes, or a record beyond the limit.
        """
        starts = np.concatenate([[0], stops[:-1]])
        if block.overlong or block.unclosed:
            self._stop(
                _endless(block, self._limits),
                row + len(stops) - 1,
                line + block.data.count(b"\n", 0, int(starts[-1])),
            )
        if b"\0" in block.data:
            index = int(np.searchsorted(stops, block.data.index(b"\0"), side="right"))
            self._stop("holds NUL bytes: the file is damaged or isn't text", row + index, None)
        lengths = stops - starts
        if lengths.max() > self._limits.record:
            self._stop(too_long(self._limits), row + int(np.argmax(lengths > self._limits.record)), None)

    def add(self, parsed: Parsed) -> None:
        """Take the problems of a block into account.

        Raises:
            BadFile: there are too many to go on, or nothing after the last can be read.
        """
        self._count += parsed.problem_count
        self._rows += int(parsed.bad.sum())
        self._broken = self._broken or parsed.broken
        self._first += self.shown(parsed)[: self._limits.shown - len(self._first)]
        if parsed.hopeless or (self.refused and self._count > self._limits.counted):
            raise self._error()

    def shown(self, parsed: Parsed) -> list[CellProblem]:
        """Return a block's problems; without lines where the file that was sent has none."""
        if self._lines:
            return parsed.problems
        return [
            CellProblem(each.problem, each.column, each.row, None, each.value) for each in parsed.problems
        ]

    def finish(self, rows: int) -> None:
        """End the file.

        Raises:
            BadFile: it can't be scored.
        """
        if not rows:
            raise BadFile(
                "The file has a header but no rows.",
                where="after line 1",
                remedy="Send a file with transactions.",
            )
        if self.refused:
            raise self._error()
        if self._rows == rows and not self._all_bad:
            raise self._error(every=True)

    def _stop(self, problem: str, row: int, line: int | None) -> None:
        self._broken = True
        self._count += 1
        self._first.append(CellProblem(problem, row=row, line=line if self._lines else None))
        raise self._error()

    def _error(self, *, every: bool = False) -> BadFile:
        where = str(self._first[0]) if self._first else None
        over = "more than " if self._count > self._limits.counted else ""
        noun = "problem" if self._count == 1 else "problems"
        count = f"{over}{min(self._count, self._limits.counted):,} {noun}"
        if self._broken:
            what = f"The rows of this file can't be read safely ({count})."
            remedy = "Export the file again: one header, no empty lines, and in each row as many cells as the header."
        elif every:
            what = f"No row of this file can be scored ({count})."
            remedy = "Fix the columns named below and send the file again."
        else:
            what = f"This file has {count}: cells that a detector needs can't be used."
            remedy = f"Fix them and send the file again, {SET_ASIDE}."
        return BadFile(what, where=where, remedy=remedy, problems=self._first[:], problem_count=self._count)


def _endless(block: Block, limits: ReadLimits) -> str:
    if block.unclosed:
        return "has a quotation mark that is never closed"
    return too_long(limits)


def too_long(limits: ReadLimits) -> str:
    """Return what is wrong with a row that is longer than a row may be."""
    return f"is longer than {limits.record // 1024} kB, the most that a row may take"
