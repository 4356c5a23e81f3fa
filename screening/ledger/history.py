"""Rows that a detector has seen, so that the next file is screened against what came before it.

Whoever asks says which files count: whose rows move whose probabilities is decided above this module, in
:mod:`screening.uploads.history_policy`.

One file of arrays for each screening or training, below ``INSTANCE_PATH/context/<detector>``: removed with its
screening, replaced when it runs again. Only numbers are kept: texts are there as codes.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import threading
import time
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from screening.detectors.artifacts import TRAINED_ON
from screening.detectors.detector import Detector
from screening.features import Past, PastIndex
from screening.transactions.schema import Matrix

log = logging.getLogger(__name__)
# Bounds the memory: a row of five columns takes 41 bytes.
MOST_ROWS = 5_000_000
BLOCK_ROWS = 65_536
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
# 2**64 over the golden ratio (Knuth 1973, 6.4): spreads neighbours apart
ODD = np.uint64(0x9E3779B97F4A7C15)
# Pasts kept sorted for single transactions; all owners without rows of their own share one.
MOST_PASTS = 4
# In nanoseconds. A younger folder's time says nothing: file systems count in steps of up to two seconds.
RECENT = 2_000_000_000
MOST_STAMPS = 256
_stamps: dict[tuple[Path, frozenset[str] | None], tuple[int, tuple[tuple[str, int, int], ...]]] = {}
Marks = NDArray[np.uint64]
Counting = Collection[str] | None
"""The names of the files of rows that count; ``None``: every one."""


class LiveSource(Protocol):
    """Rows that came through the API; false if there are none."""

    def within(self, since: float, until: float) -> Past:
        """Return the rows from a time to before another."""

    def __bool__(self) -> bool: ...


class DetectorHistory:
    """Rows that one detector has seen. Safe across processes: a part appears and goes as a whole."""

    def __init__(
        self,
        instance: Path,
        detector: Detector,
        *,
        counting: Counting,
        told: str = "of all users' files",
        live: LiveSource | None = None,
        apart: str = "",
    ) -> None:
        """Say whose past it is.

        Args:
            instance: the app's own folder.
            detector: what has seen the rows.
            counting: which files count. The rows that the detector was trained on always do.
            told: of whose files the rows are, in words.
            live: what the API was asked.
            apart: under which name rows are kept that aren't the detector's own past, if it is another one's shadow.
        """
        self._told = told
        self._live = live
        self._counting = None if counting is None else frozenset(counting)
        self._folder = (
            instance / "context" / f"{detector.name}-{detector.fingerprint[:16]}{apart and '~'}{apart}"
        )
        self._training = instance / "detectors" / detector.name / TRAINED_ON
        self._definition = detector.vectorizer.definition

    def remember(self, name: str, values: Matrix, labels: NDArray[np.int8] | None) -> None:
        """Keep rows under a name; what was kept under it before is replaced.

        Args:
            name: the screening's id, or another short name.
            values: float64 (rows, columns of the contract).
            labels: int8 (rows,), -1 where unknown.
        """
        file = self._file(name)
        self._folder.mkdir(parents=True, exist_ok=True)
        known = np.full(len(values), -1, np.int8) if labels is None else labels
        # a name of its own: a job may be run twice at once, and a file taken up from a host that is slow
        part = file.with_name(f"{file.stem}.{secrets.token_hex(4)}.part")
        with part.open("wb") as out:
            np.savez(out, span=self._span(values), values=np.ascontiguousarray(values), labels=known)
        # as a whole: a reader finds the rows before or these, never a part
        part.replace(file)

    def recall(self, name: str) -> tuple[Matrix, NDArray[np.int8]] | None:
        """Return rows (rows, columns) and labels (rows,) that were kept under a name; ``None`` if none can be read."""
        try:
            parts = list(blocks_of(self._file(name)))
        except UNREADABLE:
            return None
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])

    def has(self, name: str) -> bool:
        """Return whether rows are kept under a name."""
        return self._file(name).is_file()

    def forget(self, name: str) -> None:
        """Drop the rows that were kept under a name."""
        self._file(name).unlink(missing_ok=True)

    @property
    def told(self) -> str:
        """Of whose files the rows are, in words."""
        trained = " and of the detector's training file" if self._training.is_file() else ""
        asked = " and of the API" if self._live else ""
        return self._told + asked + trained

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Return a mark that changes whenever what is remembered changes.

        A file comes, goes and is replaced by name, which its folder's time tells; the time of a folder that was changed
        just now doesn't yet tell it from what it will be in a moment, so the files are looked at then.
        """
        begun = time.time_ns()
        try:
            changed = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            changed = 0
        key = self._folder, self._counting
        kept = _stamps.get(key)
        if kept is None or kept[0] != changed:
            kept = changed, self._look(self._remembered())
            if begun - changed > RECENT:
                if len(_stamps) >= MOST_STAMPS:
                    _stamps.clear()
                _stamps[key] = kept
        return kept[1] + self._look(self._trained())

    @staticmethod
    def _look(paths: Iterable[Path]) -> tuple[tuple[str, int, int], ...]:
        found = []
        for path in paths:
            # it was forgotten in this moment
            with suppress(FileNotFoundError):
                state = path.stat()
                found.append((path.name, state.st_mtime_ns, state.st_size))
        return tuple(found)

    def past(self, rows: Matrix | None = None) -> Past | None:
        """Return the rows that came before ``rows`` and may still count for them; ``None`` if there is nothing.

        A row that appears in several files counts once, as often as in the one that has it most often, and with its
        label if any of them knows it. Rows that are themselves among ``rows`` don't count: sending a file again
        must not find its own rows in the past.
        """
        parts = [part for part in self._parts(rows) if len(part)]
        bounds = self._bounds(rows)
        if self._live and bounds is not None:
            parts.append(self._live.within(*bounds))
        if not parts:
            return None
        found = joined(parts)
        if rows is not None:
            others = not_among(found.values, rows)
            found = Past(found.values[others], found.labels[others])
        return found if len(found) else None

    def between(self, first: float, last: float) -> Past | None:
        """Return the rows that may count for rows from one time to another, these among them; ``None`` without any."""
        if self._definition is None or self._time is None:
            return None
        ends = np.full((2, len(self._definition.contract.columns)), np.nan)
        ends[:, self._time] = first, last
        return self.past(ends)

    def _parts(self, rows: Matrix | None) -> Iterator[Past]:
        """Yield the rows of each file that may count, no more than ``MOST_ROWS`` in all: which ones is known before any
        is kept in memory. A file that is damaged is left out as a whole.
        """
        paths = [path for path in self._files() if self._may_count(path, rows)]
        oldest, ties = self._oldest(paths, rows)
        for path in paths:
            try:
                values, labels, used = self._chosen(path, rows, oldest, ties)
            except FileNotFoundError:  # forgotten in this moment
                continue
            except UNREADABLE:
                log.exception("The remembered rows in %s can't be read and are left out", path)
                continue
            ties -= used
            # equal rows have one time: of each all or none are here, but for those of the very oldest time
            yield Past(values, labels)

    def _chosen(
        self, path: Path, rows: Matrix | None, oldest: float, ties: int
    ) -> tuple[Matrix, NDArray[np.int8], int]:
        """Return rows and labels of one file that are later than ``oldest``, and of at most ``ties`` that aren't; how
        many.
        """
        kept, left = [], ties
        for values, labels in blocks_of(path):
            times, within = self._times(values), self._within(values, rows)
            at = np.flatnonzero(within & (times == oldest))[:left]
            left -= len(at)
            chosen = np.union1d(at, np.flatnonzero(within & (times > oldest)))
            kept.append((values[chosen], labels[chosen]))
        return (
            np.concatenate([each[0] for each in kept]),
            np.concatenate([each[1] for each in kept]),
            ties - left,
        )

    def _oldest(self, paths: list[Path], rows: Matrix | None) -> tuple[float, int]:
        """Return the time of the oldest row that counts, and how many of that very time do; all later ones do."""
        everything = -np.inf, MOST_ROWS
        if sum(map(_count, paths)) <= MOST_ROWS:
            return everything
        latest, count = np.empty(0), 0
        for path in paths:
            # it is told of when its rows are read
            with suppress(*UNREADABLE):
                for values, _ in blocks_of(path):
                    times = self._times(values)[self._within(values, rows)]
                    count += len(times)
                    latest = np.concatenate([latest, times])
                    if len(latest) > MOST_ROWS:
                        latest = np.partition(latest, -MOST_ROWS)[-MOST_ROWS:]
        if count <= MOST_ROWS:
            return everything
        log.warning("Only the latest %d of %d remembered rows are looked at", MOST_ROWS, count)
        oldest = float(latest.min())
        return oldest, int((latest == oldest).sum())

    def _times(self, values: Matrix) -> NDArray[np.float64]:
        """Return the time of each row (rows,); of one that has none, or if no column is the time, one before all."""
        if self._time is None:
            return np.full(len(values), -np.inf)
        return np.nan_to_num(values[:, self._time], nan=-np.inf)

    def _may_count(self, path: Path, rows: Matrix | None) -> bool:
        """Return whether a file's times reach into those that can count; one that can't be read is told of later."""
        with suppress(*UNREADABLE), np.load(path, allow_pickle=False) as stored:  # only this member is read
            return "span" not in stored or self._reaches(stored["span"], rows)
        return True

    @property
    def _time(self) -> int | None:
        """Place of the time among the columns, if there is one."""
        contract = None if self._definition is None else self._definition.contract
        return None if contract is None or contract.time is None else contract.columns.index(contract.time)

    def _span(self, values: Matrix) -> NDArray[np.float64]:
        """Return the earliest and the latest time of some rows: a file that is too old needn't be read."""
        times = np.zeros(len(values)) if self._time is None else values[:, self._time]
        times = times[~np.isnan(times)]
        return np.array([times.min(initial=np.inf), times.max(initial=-np.inf)])

    def _bounds(self, rows: Matrix | None) -> tuple[float, float] | None:
        """Return from when on and before when anything may count for ``rows``; ``None`` if time plays no part."""
        if self._definition is None or self._time is None or rows is None or not len(rows):
            return None
        times = rows[:, self._time]
        return float(np.nanmin(times)) - self._definition.horizon, float(np.nanmax(times))

    def _reaches(self, span: NDArray[np.float64], rows: Matrix | None) -> bool:
        bounds = self._bounds(rows)
        return bounds is None or bool(span[1] >= bounds[0] and span[0] < bounds[1])

    def _within(self, values: Matrix, rows: Matrix | None) -> NDArray[Any]:
        """Return the rows that can count for ``rows`` by their time."""
        bounds = self._bounds(rows)
        if bounds is None:
            return np.ones(len(values), bool)
        times = values[:, self._time]
        return (times >= bounds[0]) & (times < bounds[1])

    def _files(self) -> Iterator[Path]:
        yield from self._remembered()
        yield from self._trained()

    def _remembered(self) -> Iterator[Path]:
        for path in sorted(self._folder.glob("*.npz")):
            if self._counting is None or path.stem in self._counting:
                yield path

    def _trained(self) -> Iterator[Path]:
        if self._training.is_file():
            yield self._training

    def _file(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise ValueError("not a name of remembered rows")
        return self._folder / f"{name}.npz"


class HistoryCache:
    """Pasts of detectors, sorted for single transactions; read again when something new is remembered.

    A past is known by the files that it was read from, so callers for whom the same files count share it. The ones that
    were asked for last are kept.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[object, PastIndex | None] = OrderedDict()

    def of(self, detector: Detector, context: DetectorHistory) -> PastIndex | None:
        """Return the rows of files that count when a few transactions are scored now; ``None`` without any."""
        definition = detector.vectorizer.definition
        if definition is None or not definition.looks_back:
            return None
        key = detector.fingerprint, context.stamp()
        # one thread reads and sorts, the others wait for it
        with self._lock:
            if key not in self._known:
                past = context.past()
                self._known[key] = None if past is None else PastIndex(definition, past)
            self._known.move_to_end(key)
            while len(self._known) > MOST_PASTS:
                self._known.popitem(last=False)
            return self._known[key]


def forget(instance: Path, name: str) -> None:
    """Drop what any detector keeps under a name, or had begun to keep."""
    if NAME.fullmatch(name):
        for ending in (".npz", ".part", ".*.part"):
            for path in (instance / "context").glob(f"*/{name}{ending}"):
                path.unlink(missing_ok=True)


def drop_apart(instance: Path, apart: str) -> None:
    """Drop all that was kept under a name that isn't a detector's own."""
    if NAME.fullmatch(apart):
        for folder in (instance / "context").glob(f"*~{apart}"):
            shutil.rmtree(folder, ignore_errors=True)


def drop(instance: Path, detector: str) -> None:
    """Drop all that was kept for a detector of this name, whatever its fingerprint."""
    if NAME.fullmatch(detector):
        for folder in (instance / "context").glob(f"{detector}-{'[0-9a-f]' * 16}*"):
            shutil.rmtree(folder, ignore_errors=True)


def blocks_of(path: Path) -> Iterator[tuple[Matrix, NDArray[np.int8]]]:
    """Yield the rows and labels of one file, some at a time and at least once.

    Raises:
        one of ``UNREADABLE``: it is gone, damaged or no such file; perhaps after some of its rows.
    """
    with (
        zipfile.ZipFile(path) as stored,
        stored.open("values.npy") as of_values,
        stored.open("labels.npy") as of_labels,
    ):
        shape, by_column, kind = read_head(of_values)
        labelled, _, label_kind = read_head(of_labels)
        if len(shape) != 2 or labelled != shape[:1] or kind != np.float64 or label_kind != np.int8:
            raise ValueError("the arrays are not those of remembered rows")
        count, columns = shape
        # by column: as earlier versions may have written it
        at_once = count if by_column else BLOCK_ROWS
        for begin in range(0, max(count, 1), max(at_once, 1)):
            rows = min(at_once, count - begin)
            values = _array(of_values, kind, rows * columns)
            shaped = values.reshape(columns, rows).T if by_column else values.reshape(rows, columns)
            yield shaped, _array(of_labels, label_kind, rows)


def _count(path: Path) -> int:
    """Return the number of a file's rows by its head; none if it can't be read."""
    with suppress(*UNREADABLE), zipfile.ZipFile(path) as stored, stored.open("values.npy") as values:
        return read_head(values)[0][0]
    return 0


def read_head(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the header that numpy wrote before an array: its shape, whether it goes column by column, and the kind of
    its numbers.
    """
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    # a KeyError for versions that numpy writes for other things
    return read[np.lib.format.read_magic(stream)](stream)


def _array(stream: IO[bytes], kind: np.dtype[Any], count: int) -> NDArray[Any]:
    data = stream.read(count * kind.itemsize)
    if len(data) < count * kind.itemsize:
        raise EOFError("it is cut off")
    return np.frombuffer(data, kind)


def joined(parts: Sequence[Past]) -> Past:
    """Return the rows of several pasts as one: a row counts as often as in the one that has it most often, with its
    label if any of them knows it.
    """
    kept = counting_places(parts)
    values = np.concatenate([part.values for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    return Past(values[kept], labels[kept])


def counting_places(parts: Sequence[Past]) -> NDArray[np.int64]:
    """Return which rows of several pasts, one after the other, :func:`joined` takes."""
    labels = np.concatenate([part.labels for part in parts])
    marks = np.concatenate([row_marks(part.values) for part in parts])
    # those with a label first: unique keeps the first of each
    order = np.argsort(labels < 0, kind="stable")
    _, first = np.unique(marks[order], return_index=True)
    return order[first]


def not_among(values: Matrix, rows: Matrix) -> NDArray[np.bool_]:
    """Return which rows aren't themselves among others, bool (rows,).

    Sending a file again must not find its own rows in the past.
    """
    return ~np.isin(row_marks(values), row_marks(rows))


def row_marks(values: Matrix) -> Marks:
    """Return a 64-bit mark of each row (rows,): equal rows of one array get different marks by how often they came
    before, and the same row in another array the same ones.
    """
    hashes = row_hashes(values)
    with np.errstate(over="ignore"):
        return _mixed(hashes + times_before(hashes))


def row_hashes(values: Matrix) -> Marks:
    """Return a 64-bit hash of each row (rows,): the same for equal rows, wherever they stand; blanks are equal.

    Of ten million different rows, one pair in 370,000 such files shares a hash. Whoever wants to can make rows that do,
    so a hash may tell that a row stands twice and may not be what decides over anything more.
    """
    plain = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, and no minus zero
    bits = np.ascontiguousarray(plain).view(np.uint64)
    hashes = np.full(len(values), ODD)
    with np.errstate(over="ignore"):
        for column in range(values.shape[1]):
            hashes = _mixed(hashes ^ bits[:, column])
    return hashes


def _mixed(marks: Marks) -> Marks:
    marks = (marks ^ (marks >> np.uint64(32))) * ODD
    return (marks ^ (marks >> np.uint64(29))) * ODD


def times_before(marks: Marks) -> Marks:
    """Return the number of times that each mark occurred before in the array."""
    order = np.argsort(marks, kind="stable")
    ordered = marks[order]
    starts = (
        np.r_[0, np.flatnonzero(ordered[1:] != ordered[:-1]) + 1] if len(marks) else np.zeros(0, np.int64)
    )
    counts = np.diff(np.r_[starts, len(marks)])
    before = np.empty(len(marks), np.uint64)
    before[order] = (np.arange(len(marks)) - np.repeat(starts, counts)).astype(np.uint64)
    return before
