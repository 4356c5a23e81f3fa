"""Counts the words of columns that said one way only in a table's first rows, and may say the other further down."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.intake.batch import CellWords
from screening.intake.text.arrow_table import texts
from screening.intake.text.parse import Layout, sampled
from screening.intake.text.records import Block
from screening.transactions.composition import MOST_WORDS, plain_word
from screening.transactions.missing import missing
from screening.transactions.schema import normalise


class WordWatch:
    """Watches some columns of one table."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        wanted = set(map(normalise, layout.contract.watched))
        names = [name.strip() for name in layout.header]
        self._places = {place: name for place, name in enumerate(names) if normalise(name) in wanted}
        self.words: dict[str, CellWords] = {name: CellWords() for name in self._places.values()}
        """By the names of the columns; one that turns out to have more different cells is dropped."""

    def look(self, block: Block, stops: NDArray[np.int64], first_row: int) -> None:
        """Look at a block of whole records, which end at ``stops``; its first one is row ``first_row``, from 1."""
        if not self._places:
            return
        found = texts(block, self._layout.delimiter, len(self._layout.header), self._places)
        # it has a damaged record, or one of another length
        if found is None:
            found = self._one_by_one(block, stops)
        for place, cells in found.items():
            self._take(place, cells, first_row)

    def _one_by_one(self, block: Block, stops: NDArray[np.int64]) -> dict[int, Any]:
        pa: Any = import_module("pyarrow")
        rows = list(sampled(block.data, stops, self._layout.delimiter, len(stops)))
        return {
            place: pa.array([row[place] if place < len(row) else "" for row in rows])
            for place in self._places
        }

    def _take(self, place: int, cells: Any, first_row: int) -> None:
        compute: Any = import_module("pyarrow.compute")
        words = self.words[self._places[place]]
        for each in compute.value_counts(cells).to_pylist():
            text, count = each["values"], each["counts"]
            word = plain_word(text)
            words.counts[word] += count
            if word not in words.first:
                words.first[word] = (first_row + int(compute.index(cells, text).as_py()), text.strip())
            if too_many(words):
                del self.words[self._places.pop(place)]
                return


def too_many(words: CellWords) -> bool:
    """Return whether a column has more different words than are counted."""
    return sum(not missing(each) for each in words.counts) > MOST_WORDS


def merged_words(
    one: Mapping[str, CellWords], other: Mapping[str, CellWords], rows: int
) -> dict[str, CellWords]:
    """Return the words of the columns of a table of which one part has ``rows`` rows and the other one is behind it."""
    both = {name: each.merged(other[name], rows) for name, each in one.items() if name in other}
    return {name: words for name, words in both.items() if not too_many(words)}
