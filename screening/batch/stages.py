"""The stages of a detector that looks back, as they run in executors: one for each kind of entity."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from screening.batch.cells import Problems, ReadRows, read_cells
from screening.batch.scoring import BroadcastValue, say, with_added
from screening.batch.streaming import EntityStream, keys_of
from screening.batch.working import KEY, TIME, CarriedRows, RowOrigin
from screening.features import Definition, Past, assembled, carried_deviations, places_of
from screening.intake.text.parse import Layout
from screening.ledger.history import counting_places, not_among, row_hashes
from screening.transactions.schema import Matrix

SENT_ROWS = 16_384
"""Rows that are handed back to Spark at once."""


@dataclass(frozen=True, slots=True)
class Step:
    """Work of one stage.

    Args:
        entity: whose rows are together.
        tells: whether it makes features, or only the deviations that others need.
        following: by which entity the next stage groups; ``None`` in the last one, which scores.
    """

    entity: str
    tells: bool
    following: str | None


def steps_of(definition: Definition) -> tuple[Step, ...]:
    """Return the stages of a definition that looks back, in order.

    Deviations of an entity's amounts must be known before any other entity's features are made. The first entity that
    tells can make its own on the way; of each other that is needed there is a stage before.
    """
    needed = carried_deviations(definition)
    tracked = sorted(definition.tracked, key=lambda name: name not in needed)
    plan = [(name, False) for name in needed if name != tracked[0]] + [(name, True) for name in tracked]
    following = [name for name, _ in plan[1:]]
    return tuple(
        Step(name, tells, after) for (name, tells), after in zip(plan, [*following, None], strict=True)
    )


@dataclass(frozen=True, slots=True)
class Begin:
    """Reads batches, and prepares them for the first stage.

    Args:
        detector: the broadcast detector.
        layout: how the rows are read.
        origin: what is wanted of them.
        entity: by which the first stage groups.
    """

    detector: BroadcastValue
    layout: Layout
    origin: RowOrigin
    entity: str

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the batches with the working columns; of a past only rows that can be read."""
        definition = definition_of(self.detector)
        for batch in batches:
            read = read_cells(batch, self.layout)
            found = self._carried(definition, batch, read)
            yield (found if self.origin is RowOrigin.ASKED else found.where(~read.rejected)).written()

    def _carried(self, definition: Definition, batch: Any, read: ReadRows) -> CarriedRows:

        count = batch.num_rows
        origin = np.where(read.rejected, RowOrigin.REJECTED, self.origin).astype(np.int8)
        problems: list[str | None] = [None] * count
        for row, said in read.problems.items():
            problems[row] = json.dumps(said)
        asked = int((origin == RowOrigin.ASKED).sum())
        carried = CarriedRows(
            own=batch,
            keys=np.zeros(count, np.int64),
            time=times_of(definition, read.values),
            values=read.values,
            labels=np.full(count, -1, np.int8) if read.labels is None else read.labels,
            origin=origin,
            deviations=np.full((count, len(carried_deviations(definition))), np.nan, np.float32),
            features=np.empty((asked, 0), np.float32),
            problems=pa.array(problems, pa.string()),
        )
        return grouped_by(definition, carried, self.entity)


@dataclass(frozen=True, slots=True)
class Tell:
    """Does one step for rows that are sorted by key and time.

    Args:
        detector: the broadcast detector.
        step: what is done.
        before: the entities whose features the rows carry already, in order.
        unite: whether rows of the past that count twice, or are asked about themselves, are left out here.
        threshold: from which probability on a row is flagged.
    """

    detector: BroadcastValue
    step: Step
    before: tuple[str, ...]
    unite: bool
    threshold: float

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield the rows with what is told of them; after the last step, scored."""
        definition = definition_of(self.detector)
        needed = carried_deviations(definition)
        stream = EntityStream(definition, self.step.entity)
        wide = len(definition.contract.columns)
        for chunk in chunks(batches, lambda: stream.chunk_rows):
            rows = CarriedRows.read(chunk, wide, len(needed))
            if self.unite:
                rows = united(rows)
            rows = self._told(definition, stream, rows)
            for start in range(0, len(rows), SENT_ROWS):
                kept = np.zeros(len(rows), bool)
                kept[start : start + SENT_ROWS] = True
                part = rows.where(kept)
                if self.step.following is None:
                    yield self._scored(definition, part)
                else:
                    yield grouped_by(definition, part, self.step.following).written()

    def _told(self, definition: Definition, stream: EntityStream, rows: CarriedRows) -> CarriedRows:
        needed = carried_deviations(definition)
        real = rows.origin != RowOrigin.REJECTED
        asked = rows.origin[real] == RowOrigin.ASKED
        given = rows.rows(real, needed)
        deviation: NDArray[np.float32] | None
        if self.step.tells:
            features, deviation = stream.tell(rows.keys[real], given, asked)
            rows = replace(rows, features=np.concatenate([rows.features, features], axis=1))
        else:
            deviation = stream.deviations(rows.keys[real], given)
        if deviation is not None and self.step.entity in needed:
            deviations = rows.deviations.copy()
            deviations[real, needed.index(self.step.entity)] = deviation
            rows = replace(rows, deviations=deviations)
        return rows

    def _scored(self, definition: Definition, rows: CarriedRows) -> Any:
        """Return the rows that were asked about with what is said of them, and the rejected ones."""
        rows = rows.where((rows.origin == RowOrigin.ASKED) | (rows.origin == RowOrigin.REJECTED))
        asked = np.flatnonzero(rows.origin == RowOrigin.ASKED)
        told, begin = {}, 0
        for name in (*self.before, self.step.entity):
            end = begin + len(places_of(definition, name))
            told[name] = rows.features[:, begin:end]
            begin = end
        blocks = [assembled(definition, rows.values[asked], told)] if len(asked) else []
        rejected = np.flatnonzero(rows.origin == RowOrigin.REJECTED)
        problems: Problems = {row: json.loads(rows.problems[row].as_py()) for row in rejected.tolist()}
        said = say(self.detector.value, blocks, asked, problems, threshold=self.threshold, count=len(rows))
        return with_added(rows.own, said)


def definition_of(detector: BroadcastValue) -> Definition:
    """Return the definition of a detector that looks back."""
    found = detector.value.vectorizer.definition
    if found is None:
        raise TypeError("only a detector with a definition looks back")
    return found


def times_of(definition: Definition, values: Matrix) -> NDArray[np.float64]:
    """Return the time of each row, (rows,), NaN where there is none."""
    return values[:, definition.contract.columns.index(str(definition.contract.time))] + 0.0


def grouped_by(definition: Definition, rows: CarriedRows, entity: str) -> CarriedRows:
    """Return rows with the keys of an entity."""
    place = definition.contract.columns.index(entity)
    spread = row_hashes(rows.values)
    nothing = np.flatnonzero(rows.origin == RowOrigin.REJECTED)
    # nothing is known of them, and they mustn't all be one executor's work
    spread[nothing] = row_hashes(nothing[:, np.newaxis].astype(np.float64))
    return replace(rows, keys=keys_of(rows.values, place, spread))


def united(rows: CarriedRows) -> CarriedRows:
    """Return rows without those of the past that are asked about themselves, or appear in two pasts.

    Equal rows have one key and one time, so all of them are here.
    """
    sources = [np.flatnonzero(rows.origin == each) for each in (RowOrigin.REMEMBERED, RowOrigin.FOLDER)]
    places = np.concatenate(sources)
    if not len(places):
        return rows
    kept = places[counting_places([Past(rows.values[each], rows.labels[each]) for each in sources])]
    asked = rows.origin == RowOrigin.ASKED
    kept = kept[not_among(rows.values[kept], rows.values[asked])]
    stays = asked | (rows.origin == RowOrigin.REJECTED)
    stays[kept] = True
    return rows.where(stays)


def chunks(batches: Iterable[Any], size: Callable[[], int]) -> Iterator[Any]:
    """Yield rows that come sorted by key and time in larger batches; rows of one key and one time stay together.

    Args:
        batches: Arrow batches with the working columns.
        size: tells how many rows the next one should have.
    """
    waiting: list[Any] = []
    count = 0
    for batch in batches:
        waiting.append(batch)
        count += batch.num_rows
        if count < size():
            continue
        whole = _one(pa.Table.from_batches(waiting))
        end = _last_begin(whole)
        waiting, count = [whole.slice(end)], whole.num_rows - end
        if end:
            yield whole.slice(0, end)
    if count:
        yield _one(pa.Table.from_batches(waiting))


def _one(table: Any) -> Any:
    (batch,) = table.combine_chunks().to_batches()
    return batch


def _last_begin(batch: Any) -> int:
    """Return the first of the rows that have the key and the time of the last one."""
    keys, times = (batch.column(name).to_numpy(zero_copy_only=False) for name in (KEY, TIME))
    other = (keys != keys[-1]) | ~((times == times[-1]) | (np.isnan(times) & np.isnan(times[-1])))
    found = np.flatnonzero(other)
    return int(found[-1]) + 1 if len(found) else 0
