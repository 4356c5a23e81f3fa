"""What a detector has seen counts for the files to come: once, in time, and only while it is remembered."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from screening.detectors.detector import Detector
from screening.features import Options, define
from screening.ledger import history
from screening.ledger.history import DetectorHistory, HistoryCache, drop, forget, row_marks
from screening.transactions.schema import CellKind, Column, ColumnContract, Role

DAY = 86_400.0
CONTRACT = ColumnContract.of(
    [
        Column("when", Role.TIME, CellKind.TIME),
        Column("card", Role.ENTITY, CellKind.TEXT),
        Column("amount", Role.AMOUNT),
        Column("fraud", Role.LABEL),
    ]
)


def rows(days: range, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    when = np.repeat(np.array(list(days)) * DAY, 20) + generator.integers(0, 86_400, 20 * len(days))
    return np.column_stack([when, generator.integers(0, 9, len(when)), generator.gamma(2, 9, len(when))])


@pytest.fixture
def detector(tiny: Detector) -> Detector:
    definition = define(CONTRACT, rows(range(1000, 1100)), Options())
    made = replace(tiny.vectorizer, contract=CONTRACT, definition=definition)
    return replace(tiny, contract=CONTRACT, vectorizer=made)


def as_set(values: np.ndarray) -> set[tuple[float, ...]]:
    return set(map(tuple, values.tolist()))


def test_rows_are_remembered_until_they_are_forgotten(detector: Detector, tmp_path: Path) -> None:
    context, now = DetectorHistory(tmp_path, detector, counting=None), rows(range(1010, 1012), seed=1)
    assert context.past(now) is None
    before = rows(range(1000, 1010))
    context.remember("one", before, np.ones(len(before), np.int8))
    past = context.past(now)
    assert past is not None
    assert as_set(past.values) == as_set(before)
    assert (past.labels == 1).all()
    forget(tmp_path, "one")
    assert context.past(now) is None


def test_two_that_remember_the_same_rows_do_not_write_one_file(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, before, write = (
        DetectorHistory(tmp_path, detector, counting=None),
        rows(range(1000, 1010)),
        np.savez,
    )
    twice = iter([True])

    def meanwhile(*given: Any, **arrays: Any) -> None:
        if next(twice, False):
            context.remember("one", before, None)
        write(*given, **arrays)

    monkeypatch.setattr(np, "savez", meanwhile)
    context.remember("one", before, None)
    past = context.past(rows(range(1010, 1012)))
    assert past is not None
    assert as_set(past.values) == as_set(before)
    # of one that was killed a part is left
    (kept,) = tmp_path.glob("context/*/*")
    kept.with_name("one.0a1b2c3d.part").touch()
    forget(tmp_path, "one")
    assert not list(tmp_path.glob("context/*/*"))


def test_a_file_sent_again_does_not_find_its_own_rows(detector: Detector, tmp_path: Path) -> None:
    context, now = DetectorHistory(tmp_path, detector, counting=None), rows(range(1000, 1003))
    context.remember("one", now, None)
    assert context.past(now) is None
    shuffled = np.random.default_rng(0).permutation(now)
    assert context.past(shuffled) is None


def test_a_row_in_several_files_counts_once_and_keeps_the_label_that_any_knows(
    detector: Detector, tmp_path: Path
) -> None:
    context, before = DetectorHistory(tmp_path, detector, counting=None), rows(range(1000, 1002))
    twice = np.vstack([before, before[:1]])  # once more in the same file: that is another payment
    label = np.zeros(len(before), np.int8)
    label[3] = 1
    context.remember("a", before, label)
    context.remember("b", twice, None)
    past = context.past(rows(range(1002, 1003), seed=2))
    assert past is not None
    assert len(past.values) == len(before) + 1
    known = past.labels[(past.values == before[3]).all(axis=1)]
    assert known.tolist() == [1]


def test_only_what_is_near_enough_and_earlier_is_read(detector: Detector, tmp_path: Path) -> None:
    context = DetectorHistory(tmp_path, detector, counting=None)
    context.remember("all", rows(range(800, 1100)), None)
    now = rows(range(1000, 1002), seed=5)
    past = context.past(now)
    assert past is not None
    assert detector.vectorizer.definition is not None
    horizon = detector.vectorizer.definition.horizon
    assert past.values[:, 0].min() >= now[:, 0].min() - horizon
    assert past.values[:, 0].max() < now[:, 0].max()


def test_a_file_that_is_too_old_to_count_is_not_read(
    detector: Detector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context, now = DetectorHistory(tmp_path, detector, counting=None), rows(range(1000, 1002), seed=5)
    for name, days in (("old", range(500, 510)), ("near", range(990, 992)), ("later", range(1010, 1012))):
        context.remember(name, rows(days), None)
    for file in tmp_path.glob(
        "context/*/[ol]*.npz"
    ):  # nothing but what says how old it is can be read of them
        with np.load(file) as stored:
            span = stored["span"]
        np.savez(file, span=span)
    past = context.past(now)
    assert past is not None
    assert as_set(past.values) == as_set(rows(range(990, 992)))
    assert "can't be read" not in caplog.text
    assert context.past() is not None  # asked about nothing in particular, every file counts
    assert "can't be read" in caplog.text


def test_a_file_without_its_span_is_read(detector: Detector, tmp_path: Path) -> None:
    context, before = DetectorHistory(tmp_path, detector, counting=None), rows(range(1000, 1002))
    context.remember("one", before, None)
    (file,) = tmp_path.glob("context/*/one.npz")
    np.savez(file, values=before, labels=np.full(len(before), -1, np.int8))
    past = context.past(rows(range(1002, 1003), seed=2))
    assert past is not None
    assert len(past.values) == len(before)


def test_a_damaged_file_is_left_out_and_said(
    detector: Detector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = DetectorHistory(tmp_path, detector, counting=None)
    context.remember("good", rows(range(1000, 1001)), None)
    (file,) = tmp_path.glob("context/*/good.npz")
    (file.parent / "bad.npz").write_bytes(b"PK nonsense")
    past = context.past(rows(range(1001, 1002)))
    assert past is not None
    assert "can't be read" in caplog.text


def test_single_transactions_see_what_was_remembered_since(detector: Detector, tmp_path: Path) -> None:
    history_cache, context = HistoryCache(), DetectorHistory(tmp_path, detector, counting=None)
    assert history_cache.of(detector, context) is None
    context.remember("one", rows(range(1000, 1002)), None)
    first = history_cache.of(detector, context)
    assert first is not None
    assert len(first) == 40
    assert history_cache.of(detector, context) is first
    context.remember("two", rows(range(1002, 1003)), None)
    later = history_cache.of(detector, context)
    assert later is not None
    assert len(later) == 60
    drop(tmp_path, detector.name)
    assert history_cache.of(detector, context) is None


def test_detectors_that_do_not_look_back_know_nothing(tiny: Detector, tmp_path: Path) -> None:
    assert HistoryCache().of(tiny, DetectorHistory(tmp_path, tiny, counting=None)) is None


@pytest.mark.parametrize("name", ["", "../x", "a/b", "x" * 65])
def test_a_name_is_no_path(detector: Detector, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        DetectorHistory(tmp_path, detector, counting=None).remember(name, rows(range(1, 2)), None)
    forget(tmp_path, name)
    drop(tmp_path, name)


def test_marks_are_of_rows_and_not_of_their_order() -> None:
    values = rows(range(50))
    values[3, 2], values[4, 2] = np.nan, -0.0
    order = np.random.default_rng(1).permutation(len(values))
    np.testing.assert_array_equal(row_marks(values)[order], row_marks(values[order]))
    assert len(np.unique(row_marks(values))) == len(values)
    zero = values.copy()
    zero[4, 2] = 0.0
    np.testing.assert_array_equal(row_marks(zero), row_marks(values))
    assert len(row_marks(values[:0])) == 0


@pytest.mark.security(56)
def test_no_more_rows_are_kept_in_memory_than_are_looked_at(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_ROWS", 1000)
    monkeypatch.setattr(history, "BLOCK_ROWS", 500)
    context, now = DetectorHistory(tmp_path, detector, counting=None), rows(range(1060, 1061), seed=99)
    every = [np.concatenate([rows(range(1000, 1060), seed=s + 100 * n) for n in range(10)]) for s in range(8)]
    for number, one in enumerate(every):
        context.remember(f"file-{number}", one, None)
    tracemalloc.start()
    past = context.past(now)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert past is not None
    times = np.sort(np.concatenate(every)[:, 0])
    assert len(past.values) <= 1000
    assert as_set(past.values[:, :1]) == as_set(times[-1000:, None])
    assert most < sum(one.nbytes for one in every) / 4


def test_of_rows_of_one_time_no_more_are_kept_either(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "MOST_ROWS", 50)
    context = DetectorHistory(tmp_path, detector, counting=None)
    for number in range(3):
        same = rows(range(1000, 1003), seed=number)
        same[:, 0] = 1000 * DAY
        context.remember(f"file-{number}", same, None)
    past = context.past(rows(range(1001, 1002)))
    assert past is not None
    assert len(past.values) == 50


def test_a_damaged_file_is_left_out_as_a_whole(detector: Detector, tmp_path: Path) -> None:
    context = DetectorHistory(tmp_path, detector, counting=None)
    good, bad = rows(range(1000, 1003)), rows(range(1003, 1006), seed=1)
    context.remember("good", good, None)
    context.remember("bad", bad, None)
    file = next(tmp_path.rglob("bad.npz"))
    content = bytearray(file.read_bytes())
    at = content.find(bad[-1].tobytes())
    content[at] ^= 1
    file.write_bytes(content)
    past = context.past(rows(range(1006, 1007)))
    assert past is not None
    assert as_set(past.values) == as_set(good)
