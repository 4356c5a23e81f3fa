"""Look at all rows of a folder in one pass, before any of them is scored.

What a file tells as a whole, a folder tells as a whole: how its columns are written, in which unit its amounts may be,
whether its times lost their AM and PM, whether columns hold card numbers. Each partition leaves evidence of some
kilobytes, by the classes that look at a file, and the driver puts that together. No card number is in it.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from screening.batch.card_search import look_at_ragged, look_for_cards, without_card_numbers
from screening.batch.cells import RAW, REPLACED, places_with, whole_rows
from screening.batch.folders import InputFolder, quoted
from screening.batch.lines import RaggedLines
from screening.cards.evidence import CardColumns
from screening.errors import CellProblem
from screening.intake import CellWords
from screening.intake.conversion.arrow_csv import csv_of, written_schema
from screening.intake.text.card_watch import CardWatch
from screening.intake.text.hour_watch import HourCounts, hours_of
from screening.intake.text.parse import Layout, Parsed
from screening.intake.text.records import Block
from screening.intake.text.rows import read_rows
from screening.intake.text.survey import Survey
from screening.intake.text.word_watch import WordWatch, merged_words
from screening.ledger.history import row_hashes
from screening.transactions.amount_evidence import AmountEvidence
from screening.transactions.schema import Matrix

MOST_PARTS = 256
"""Pieces of evidence that the driver gets; where a folder has more partitions, several make one."""
MOST_PROBLEMS = 20
"""Problems that are kept as examples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observations:
    """Findings about rows as a whole, once they are read; of unreadable ones only their numbers, ``doubtful`` and
    ``problems``.
    """

    rows: int = 0
    amounts: AmountEvidence | None = None
    hours: Mapping[int, HourCounts] = field(default_factory=dict)
    words: Mapping[str, CellWords] = field(default_factory=dict)
    doubtful: int = 0
    """Cells that can't be read in the form of their column and mean something in another."""
    problems: tuple[CellProblem, ...] = ()
    first: float = np.inf
    last: float = -np.inf
    """Bounds of the times, in seconds."""
    labelled: bool = True
    """Whether all labels can be used."""
    sums: tuple[int, int] = (0, 0)
    """Sums of two hashes of each row, modulo 2**64: the same in any order."""
    bad: int = 0
    """Rows that can't be read."""
    ragged: int = 0
    """Rows of CSV with more or fewer cells than the header: they aren't among ``rows``."""

    @classmethod
    def of(cls, parsed: Parsed, words: Mapping[str, CellWords], layout: Layout) -> Observations:
        """Return what some rows tell."""
        contract, values = layout.contract, parsed.values
        amounts = None
        if contract.amount is not None:
            read = values[:, contract.columns.index(contract.amount)]
            amounts = AmountEvidence.of(contract.unit.written(read))
        hours = hours_of(layout)
        for place, each in hours.items():
            seconds = values[:, place]
            each.add(np.mod(seconds[~np.isnan(seconds)], DAY))
        times = np.empty(0) if contract.time is None else values[:, contract.columns.index(contract.time)]
        times = times[~np.isnan(times)]
        return cls(
            rows=len(values),
            amounts=amounts,
            hours=hours,
            words=words,
            doubtful=parsed.doubtful,
            # of which row of which file isn't known here
            problems=tuple(replace(each, row=None, line=None) for each in parsed.problems[:MOST_PROBLEMS]),
            first=float(times.min(initial=np.inf)),
            last=float(times.max(initial=-np.inf)),
            labelled=layout.label is None or parsed.labels is not None,
            sums=sums_of(values),
            bad=int(parsed.bad.sum()),
        )

    @property
    def unread(self) -> int:
        """Number of rows that nothing is known of."""
        return self.bad + self.ragged

    @property
    def digest(self) -> str:
        """Fingerprint of the rows as the detector reads them, in whatever order."""
        return "".join(f"{each:016x}" for each in self.sums)

    def merged(self, other: Observations) -> Observations:
        """Return what the rows of both tell."""
        ragged = self.ragged + other.ragged
        if not (self.rows and other.rows):
            return replace(self if self.rows else other, ragged=ragged)
        both = self.amounts is not None and other.amounts is not None
        return Observations(
            rows=self.rows + other.rows,
            amounts=self.amounts.merged(other.amounts) if both else None,  # type: ignore[union-attr, arg-type]
            hours={place: each.merged(other.hours[place]) for place, each in self.hours.items()},
            words=merged_words(self.words, other.words, self.rows),
            doubtful=self.doubtful + other.doubtful,
            problems=(*self.problems, *other.problems)[:MOST_PROBLEMS],
            first=min(self.first, other.first),
            last=max(self.last, other.last),
            labelled=self.labelled and other.labelled,
            # as the sums of one array run over
            sums=((self.sums[0] + other.sums[0]) % 2**64, (self.sums[1] + other.sums[1]) % 2**64),
            bad=self.bad + other.bad,
            ragged=ragged,
        )


DAY = 86_400


def sums_of(values: Matrix) -> tuple[int, int]:
    """Return the sums of two hashes of each row, (rows, columns): of the row, and of that hash."""
    hashes = row_hashes(values)
    again = row_hashes(hashes.view(np.int64).astype(np.float64)[:, np.newaxis])
    with np.errstate(over="ignore"):
        return int(hashes.sum()), int(again.sum())


@dataclass(frozen=True, slots=True)
class PartEvidence:
    """Evidence from the rows of one part of a folder: of how they are written, of what they say in the form that was
    tried, and of card numbers, ``None`` where it wasn't asked; and columns of CSV with bytes that aren't UTF-8.
    """

    survey: Survey | None
    told: Observations | None
    cards: CardColumns | None = None
    replaced: frozenset[str] = frozenset()

    def merged(self, other: PartEvidence) -> PartEvidence:
        """Return what both parts tell, this one's rows first."""
        one, another = self.survey, other.survey
        survey = None if one is None or another is None else one.merged(another)
        told = None if self.told is None or other.told is None else self.told.merged(other.told)
        cards = None if self.cards is None or other.cards is None else self.cards.merged(other.cards)
        return PartEvidence(survey, told, cards, self.replaced | other.replaced)


@dataclass(frozen=True, slots=True)
class Observe:
    """Looks at batches of rows.

    Args:
        layout: where the columns are, and in which form they are read.
        surveys: whether it is asked how they are written.
        reads: whether they are read.
        others: columns that are looked through for card numbers beside those of the layout, where rows are read;
            ``None``: none is.
        key: by which the numbers are kept that were seen.
        ragged: of CSV, takes ragged rows apart, which are looked through, too; their cells beyond the header are a
            column behind all others.
    """

    layout: Layout
    surveys: bool
    reads: bool
    others: tuple[str, ...] | None = None
    key: bytes = b""
    ragged: RaggedLines | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that are looked at."""
        return (*self.layout.header, *(self.others or ()))

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield one row with the evidence of all batches of a partition."""
        from pyspark import TaskContext

        context = TaskContext.get()
        yield written(0 if context is None else context.partitionId(), self.look(batches))

    def look(self, batches: Iterable[Any]) -> PartEvidence:
        """Return the evidence of some batches."""
        layout = self.layout
        survey, told, replaced = Survey.of(layout), Observations(), set[str]()
        beyond = () if self.ragged is None else (self.ragged.beyond,)
        watched = replace(layout, header=(*self.names, *beyond))
        cards = CardWatch(watched, self.key) if self.reads and self.others is not None else None
        for batch in batches:
            every, ragged = whole_rows(batch, self.names)
            told = replace(told, ragged=told.ragged + int(ragged.sum()))
            if cards is not None and self.ragged is not None and ragged.any():
                look_at_ragged(cards, batch.column(RAW).drop_null().to_pylist(), self.ragged, self.names)
            if not every.num_rows:
                continue
            if self.ragged is not None:
                unseen = (name for name in every.schema.names if name not in replaced)
                replaced.update([name for name in unseen if places_with(every.column(name), REPLACED)])
            rows = every.select(list(layout.header))
            data = csv_of(rows, written_schema(rows.schema))
            block = Block(data, data.count(b'"'), last=True)
            if self.surveys:
                survey.look(block, layout)
            if self.reads:
                words = WordWatch(layout)
                if layout.contract.watched:
                    words.look(block, block.ends(), 1)
                parsed = read_rows(data, layout, rows.num_rows)
                told = told.merged(Observations.of(parsed, words.words, layout))
                if cards is not None:
                    look_for_cards(cards, every, parsed)
        return PartEvidence(
            survey if self.surveys else None,
            told if self.reads else None,
            None if cards is None else cards.columns,
            frozenset(replaced),
        )


def written(part: int, evidence: PartEvidence) -> Any:
    """Return evidence as an Arrow batch of one row."""
    kept = pickle.dumps(without_card_numbers(evidence))
    columns = [pa.array([part], pa.int32()), pa.array([kept], pa.binary())]
    return pa.RecordBatch.from_arrays(columns, names=["part", "evidence"])


def put_together(batches: Iterable[Any]) -> Iterator[Any]:
    """Yield one row with the evidence of several partitions."""
    found = [row for batch in batches for row in batch.to_pylist()]
    if found:
        yield written(found[0]["part"], merged_all(found))


def merged_all(rows: list[dict[str, Any]]) -> PartEvidence:
    """Return the evidence of all rows, in the order of the partitions."""
    rows.sort(key=lambda row: row["part"])
    found: PartEvidence | None = None
    for row in rows:
        # it comes from this job's own executors
        one: PartEvidence = pickle.loads(row["evidence"])  # noqa: S301
        found = one if found is None else found.merged(one)
    if found is None:
        raise ValueError("no partition left any evidence")
    return found


def observe(folder: InputFolder, look: Observe) -> PartEvidence:
    """Return the evidence of all rows of a folder, in one pass over the columns that are needed."""
    wanted = set(look.names)
    needed = [name for name in folder.table.columns if name in wanted or name not in folder.names]
    found = folder.table.select(*map(quoted, needed)).mapInArrow(look.__call__, KEPT)
    if folder.table.rdd.getNumPartitions() > MOST_PARTS:
        found = found.coalesce(MOST_PARTS).mapInArrow(put_together, KEPT)
    return merged_all([row.asDict() for row in found.collect()])


KEPT = "part int, evidence binary"
