"""Find columns of a file that make one value together: a date with a time of day, a debit with a credit.

As all guesses these are shown with how sure they are, and can be changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from screening.columns.composed_amounts import pairs, says_one_way, with_words
from screening.columns.composed_times import OTHER_TIMES, at_midnight, dated, in_parts, is_date
from screening.columns.file_columns import FITS, FileColumn
from screening.columns.made import LIKELY, PERHAPS, CompositionGuess
from screening.columns.profiles import MOSTLY
from screening.transactions.composition import Composition, direction_of, part_word
from screening.transactions.missing import missing
from screening.transactions.schema import normalise


@dataclass(frozen=True)
class Columns:
    """Some columns of a file with some of their cells, looked at only where their names or first cells are of interest.

    ``names`` are as the file writes them; ``cells`` has those of each, in the order of the rows.
    """

    names: Sequence[str]
    cells: Sequence[Sequence[str]]

    @classmethod
    def of(cls, header: Sequence[str], rows: Sequence[Sequence[str]], places: Iterable[int]) -> Columns:
        """Return those at some places of a header; rows of another length are passed over."""
        whole = [row for row in rows if len(row) == len(header)]
        chosen = list(places)
        return cls(
            [header[place].strip() for place in chosen], [[row[place] for row in whole] for place in chosen]
        )

    @cached_property
    def _each(self) -> list[FileColumn]:
        return [
            FileColumn(place, name, tuple(map(str.strip, cells)))
            for place, (name, cells) in enumerate(zip(self.names, self.cells, strict=True))
        ]

    def amounts(self, known: str | None = None) -> list[CompositionGuess]:
        """Return the compositions that may make the amount, the most likely first.

        Args:
            known: the column that is called as the amount, if there is one: then nothing else is signed by a word.
        """
        found = [*pairs(self._each), *with_words(self._each, known)]
        return sorted(found, key=lambda made: -made.score)

    def values(self, made: Composition) -> NDArray[np.float64]:
        """Return the values that some columns make, (rows,), as far as their cells can be read: NaN elsewhere."""
        each = {one.name: one for one in self._each}
        return made.values(np.stack([each[name].read(part) for part, name in made.parts], axis=1))

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return the numbers of a column, (rows,), NaN for a blank."""
        return next(one for one in self._each if one.name == name).known.numbers

    def ways(self, name: str) -> set[float | None]:
        """Return the direction in which the words of a column say that money goes; ``None`` where a cell is blank.
        Other words are left out.
        """
        cells = next(one for one in self._each if one.name == name).counts
        return {direction_of(cell) for cell in cells if missing(cell) or direction_of(cell) is not None}

    def moments(self, name: str) -> NDArray[np.float64]:
        """Return the times of a column in seconds since 1970, (rows,), NaN for a blank."""
        return next(one for one in self._each if one.name == name).known.moments

    def one_sided(self) -> list[str]:
        """Return the columns that say which way the money goes if rows further down say the other way."""
        return [each.name for each in self._each if says_one_way(each.counts)]

    def times(self, known: str | None = None) -> list[CompositionGuess]:
        """Return the compositions that may make the time, the most likely first; less likely where one column alone
        says it all.

        Args:
            known: the column that is called as the time, if there is one: then only what it is a part of.
        """
        columns = [each for each in self._each if each.name == known or not each.words & OTHER_TIMES]
        found = [*dated(columns), *in_parts(columns)]
        if known is not None:
            found = [made for made in found if known in made.composition.columns]
        elif found and any(is_date(each) and not at_midnight(each) for each in columns):
            found = [CompositionGuess(made.composition, min(made.score, PERHAPS)) for made in found]
        found.sort(key=lambda made: -made.score)
        # of two that are equal none is certain
        if len(found) > 1 and found[0].score == found[1].score:
            return [CompositionGuess(made.composition, min(made.score, LIKELY)) for made in found]
        return found


def contradicted(made: Composition, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str | None:
    """Return the part whose cells say that it is something else, in words; ``None`` where nearly all fit."""
    names = list(map(normalise, header))
    for part, column in made.parts:
        place = names.index(normalise(column))
        filled = [row[place] for row in rows if len(row) == len(header) and not missing(row[place])]
        if filled and sum(map(FITS[part], filled)) < MOSTLY * len(filled):
            return f"{column} doesn't hold what it was said to hold, {part_word(part)}"
    return None
