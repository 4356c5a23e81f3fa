"""Stages give each row the features that all rows together give it, bit by bit, however rows are shuffled and cut.

Spark isn't needed: its shuffle is a partition by key and a sort by key and time.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from screening.batch import stages, streaming
from screening.batch.stages import Tell, grouped_by, steps_of, times_of
from screening.batch.working import KEY, TIME, CarriedRows, RowOrigin
from screening.features import Definition, Past, assembled, carried_deviations, compute, places_of
from screening.ledger.history import joined, not_among
from tests.screening.features.tables import COLUMNS, DAY, Table, payments, tables


def sent(definition: Definition) -> Any:
    return SimpleNamespace(value=SimpleNamespace(vectorizer=SimpleNamespace(definition=definition)))


def begun(definition: Definition, table: Table, origin: RowOrigin, first: int = 0) -> CarriedRows:
    """Rows as the first stage gets them; each has its number as its own column."""
    count = len(table.values)
    asked = count if origin is RowOrigin.ASKED else 0
    found = CarriedRows(
        own=pa.RecordBatch.from_arrays([pa.array(np.arange(first, first + count))], names=["number"]),
        keys=np.zeros(count, np.int64),
        time=times_of(definition, table.values),
        values=table.values,
        labels=table.labels,
        origin=np.full(count, origin, np.int8),
        deviations=np.full((count, len(carried_deviations(definition))), np.nan, np.float32),
        features=np.empty((asked, 0), np.float32),
        problems=pa.nulls(count, pa.string()),
    )
    return grouped_by(definition, found, steps_of(definition)[0].entity)


def shuffled(batches: list[Any], parts: int, cut: int, rng: np.random.Generator) -> list[list[Any]]:
    """What Spark hands to each task: the rows whose keys fall to it, sorted, some at a time."""
    whole = pa.Table.from_batches(batches)
    whole = whole.take(rng.permutation(len(whole)))
    keys = whole.column(KEY).to_numpy()
    found = []
    for part in range(parts):
        some = whole.filter(pa.array(keys % parts == part)).sort_by([(KEY, "ascending"), (TIME, "ascending")])
        found.append(some.combine_chunks().to_batches(max_chunksize=cut))
    return found


def staged(
    definition: Definition, given_rows: list[CarriedRows], parts: int, cut: int, seed: int
) -> np.ndarray:
    """The features of the asked rows, in the order of their numbers."""
    rng = np.random.default_rng(seed)
    batches = [each.written() for each in given_rows]
    told: tuple[str, ...] = ()
    for number, step in enumerate(steps_of(definition)):
        # the last one would score
        carried_on = replace(step, following=step.following or step.entity)
        work = Tell(sent(definition), carried_on, told, unite=number == 0, threshold=0.5)
        batches = [out for task in shuffled(batches, parts, cut, rng) for out in work(task)]
        told += (step.entity,) if step.tells else ()
    rows = CarriedRows.read(
        pa.Table.from_batches(batches).combine_chunks().to_batches()[0],
        len(definition.contract.columns),
        len(carried_deviations(definition)),
    )
    asked = rows.origin == RowOrigin.ASKED
    edges = np.cumsum([0, *(len(places_of(definition, name)) for name in told)])
    by_name = {
        name: rows.features[:, begin:end]
        for name, begin, end in zip(told, edges[:-1], edges[1:], strict=True)
    }
    order = np.argsort(rows.own.column("number").to_numpy()[asked])
    return assembled(definition, rows.values[asked], by_name)[order]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "CHUNK_ROWS", 7)
    monkeypatch.setattr(stages, "SENT_ROWS", 3)


@pytest.mark.usefixtures("small_chunks")
def test_stages_give_what_all_rows_together_give() -> None:
    @settings(max_examples=40, deadline=None)
    @given(tables(40), st.integers(0, 40), st.integers(0, 40), st.integers(1, 4), st.integers(1, 9))
    def check(table: Table, one: int, other: int, parts: int, cut: int) -> None:
        definition = table.definition()
        cuts = sorted((one, other))
        remembered, folder = table.take(slice(0, cuts[0])), table.take(slice(cuts[0], cuts[1]))
        asked = table.take(slice(cuts[1], None))
        # some rows appear in both pasts, and some of the past are asked about again
        folder = both(folder, remembered.take(slice(0, 3)))
        asked = both(asked, folder.take(slice(0, 2)))
        assume(len(asked.values) and definition.looks_back)
        given_rows = [
            begun(definition, asked, RowOrigin.ASKED),
            begun(definition, remembered, RowOrigin.REMEMBERED),
            begun(definition, folder, RowOrigin.FOLDER),
        ]
        past = joined([Past(each.values, each.labels) for each in (remembered, folder)])
        others = not_among(past.values, asked.values)
        past = Past(past.values[others], past.labels[others])
        expected = compute(definition, asked.values, labels=asked.labels, past=past)
        found = staged(definition, given_rows, parts, cut, seed=one)
        assert np.array_equal(found, expected)

    check()


def both(one: Table, other: Table) -> Table:
    return Table(
        one.contract,
        np.concatenate([one.values, other.values]),
        np.concatenate([one.labels, other.labels]),
    )


def test_a_hot_entity_is_followed_with_no_more_than_its_horizon_in_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One card makes nearly all payments, of a year: what is kept between chunks is what lies within the horizon."""
    monkeypatch.setattr(streaming, "CHUNK_ROWS", 500)
    table = payments(6000, 5, COLUMNS, days=365.0, blanks=0.0)
    table.values[10:, table.contract.columns.index("card")] = 1.0
    definition = table.definition()
    kept: list[int] = []
    usual = streaming.EntityStream._keep

    def keep(self: Any, *rest: Any) -> None:
        usual(self, *rest)
        kept.append(len(self._kept))

    monkeypatch.setattr(streaming.EntityStream, "_keep", keep)
    found = staged(definition, [begun(definition, table, RowOrigin.ASKED)], parts=2, cut=100, seed=1)
    assert np.array_equal(found, compute(definition, table.values, labels=table.labels))
    share = definition.horizon / (365 * DAY)
    assert 0 < max(kept) < 2 * share * len(table.values)
