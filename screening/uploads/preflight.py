"""A file looked at before it is scored: read as a screening reads it, and told what would be in the way.

Nothing is scored, and nothing is remembered of its rows. The report lies beside the file until the file is screened.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Mapping as Given
from dataclasses import asdict, dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from screening.errors import CellProblem, NotFound
from screening.intake import NOTHING_SAID, Answers, FileKind, open_transactions
from screening.ledger.history import row_hashes
from screening.scoring import drift
from screening.uploads.leakage_findings import MOST_EXTRA, LabelledSample, Labels, extra, suspects
from screening.uploads.line.collected import MOST_LISTED
from screening.uploads.questions.amounts import check_sign, check_unit, seen_of
from screening.uploads.questions.detector_choice import DetectorChoice
from screening.uploads.sampling import EvenSample, Rows
from screening.uploads.upload_folder import FileReader, UploadFolder

if TYPE_CHECKING:
    from screening.detectors.registry import Detectors
    from screening.intake import Batch, CellWords, Forms
    from screening.transactions.schema import ColumnContract
    from screening.uploads.questions.column_mappings import Mapping

MOST_SAMPLED = 20_000
"""Rows whose numbers are kept, evenly spread: they are compared with the training data and with their labels."""
# Labelled frauds kept besides: an even spread has too few of them.
MOST_FRAUDS = 5000
PAIRS = 20
"""Rows that repeat another one that are listed; the count is whole."""
REPORT, OFFSETS, REJECTED = "check.json", "check_offsets.npy", "check_rejected.npy"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightSummary:
    """Result of a check, as it goes into the history; the rest is in the report."""

    detector: str
    fingerprint: str
    rows: int
    set_aside: int
    mapping: dict[str, str] | None
    notes: list[str]


@dataclass(slots=True)
class _Read:
    """Data kept of each batch: 18 bytes a row, some thousand rows whole, and the first problems."""

    sample: EvenSample = field(default_factory=lambda: EvenSample(MOST_SAMPLED))
    frauds: EvenSample = field(default_factory=lambda: EvenSample(MOST_FRAUDS))
    offsets: list[Rows] = field(default_factory=list)
    hashes: list[NDArray[np.uint64]] = field(default_factory=list)
    bad: list[NDArray[np.bool_]] = field(default_factory=list)
    labels: list[Labels | None] = field(default_factory=list)
    problems: list[CellProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    amount: list[NDArray[np.float64]] = field(default_factory=list)
    sign_told: bool = False
    words: Given[str, CellWords] = field(default_factory=dict)

    def keep(self, batch: Batch, contract: ColumnContract) -> None:
        if contract.amount is not None:
            self.amount.append(batch.transactions.column(contract.amount).copy())
        values = batch.transactions.values
        rows = np.arange(len(batch)) + batch.first_row - 1
        good = np.flatnonzero(~batch.bad)
        self.sample.add(rows[good], values[good])
        fraud = good[:0] if batch.labels is None else good[batch.labels[good] == 1]
        self.frauds.add(rows[fraud], values[fraud])
        self.sign_told, self.words = batch.sign_told, batch.words
        self.offsets.append(batch.offsets)
        self.hashes.append(row_hashes(values))
        self.bad.append(batch.bad)
        self.labels.append(batch.labels)
        self.problems.extend(batch.problems[: MOST_LISTED - len(self.problems)])
        self.notes.extend(note for note in batch.notes if note not in self.notes)

    @property
    def label(self) -> Labels | None:
        """The label of every row, -1 where it has none; ``None`` when the file has no label that can be used."""
        known = [labels for labels in self.labels if labels is not None]
        return np.concatenate(known) if known and len(known) == len(self.labels) else None


def check(
    folder: UploadFolder,
    kind: FileKind,
    detectors: Detectors,
    *,
    wanted: str | None,
    on_batch: Callable[[int], None],
    recall: Callable[[list[str]], Mapping | None] = lambda _header: None,
    recall_unit: Callable[[list[str]], str | None] = lambda _header: None,
    answers: Answers = NOTHING_SAID,
) -> PreflightSummary:
    """Read the file in ``folder`` as a screening does, score nothing, and leave a report beside it.

    The arguments are those of :class:`screening.uploads.line.order.ScreeningOrder`. All rows with bad cells are listed,
    however many.

    Raises:
        BadFile: the file can't be read; nothing is left but the file.
    """
    choose = partial(DetectorChoice, detectors, wanted, recall, unit=answers.unit, recall_unit=recall_unit)
    reader = FileReader(folder, kind, choose, answers, waiting=lambda: on_batch(0))
    # of an earlier check, with other columns
    discard(folder)
    on_batch(0)

    def read_with(forms: Forms | None) -> tuple[DetectorChoice, _Read, dict[str, Any]]:
        choice, read = choose(), _Read()
        with folder.open() as stream:
            source = cast("BinaryIO", stream) if kind.streams else folder.input
            for batch in open_transactions(
                source,
                kind,
                choice,
                set_aside=True,
                all_bad=True,
                canonical=folder.canonical,
                waiting=lambda: on_batch(0),
                forms=forms,
                answers=answers,
            ):
                read.keep(batch, choice.contract)
                on_batch(stream.taken)
            read.notes += choice.check_words(read.words)
            if read.amount:
                amounts, other = seen_of(choice, np.concatenate(read.amount))
                read.notes += check_sign(choice.detector, amounts, answers, told=read.sign_told)
                read.notes += check_unit(choice, amounts, answers, read.words, other)
            return choice, read, report_of(folder, choice, read, lambda: on_batch(stream.taken))

    choice, read, report = reader.settled(read_with)
    bad = np.concatenate(read.bad)
    save_report(folder, report, np.flatnonzero(bad), np.concatenate(read.offsets))
    return PreflightSummary(
        detector=choice.detector.name,
        fingerprint=choice.detector.fingerprint,
        rows=len(bad),
        set_aside=int(bad.sum()),
        mapping=None if choice.mapping is None else choice.mapping.as_json,
        notes=[*choice.detector.warnings, *choice.notes, *read.notes],
    )


def discard(folder: UploadFolder) -> None:
    """Remove the report of a check: the file is being screened, or checked again."""
    for name in (REPORT, OFFSETS, REJECTED):
        (folder.path / name).unlink(missing_ok=True)


class PreflightReport:
    """Reads what a check left beside the file."""

    def __init__(self, folder: UploadFolder) -> None:
        self._folder = folder

    @property
    def there(self) -> bool:
        """Return whether the files are still there."""
        return (self._folder.path / REPORT).is_file()

    @cached_property
    def found(self) -> dict[str, Any]:
        """``problems``, ``drift``, ``duplicates``, ``labels`` and ``suspects``, as JSON types."""
        try:
            text = (self._folder.path / REPORT).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise NotFound(
                "The files of this check are gone from the disk.", remedy="Send the file again."
            ) from None
        loaded: dict[str, Any] = json.loads(text)
        return loaded

    @property
    def problems(self) -> list[dict[str, Any]]:
        """Problems of rows that can't be screened, the first thousand."""
        listed: list[dict[str, Any]] = self.found["problems"]
        return listed

    @cached_property
    def rejected(self) -> Rows:
        """The rows that can't be screened, from 0."""
        rows: Rows = np.load(self._folder.path / REJECTED, allow_pickle=False)
        return rows

    @cached_property
    def offsets(self) -> Rows:
        """Offset of each record in :attr:`canonical`."""
        places: Rows = np.load(self._folder.path / OFFSETS, mmap_mode="r", allow_pickle=False)
        return places

    @property
    def canonical(self) -> Path:
        """The file that :attr:`offsets` point into."""
        return self._folder.readable


def save_report(folder: UploadFolder, report: dict[str, Any], rejected: Rows, offsets: Rows) -> None:
    """Write what a check found beside the file."""
    np.save(folder.path / REJECTED, rejected)
    np.save(folder.path / OFFSETS, offsets if len(rejected) else offsets[:0])
    (folder.path / REPORT).write_text(json.dumps(report), encoding="utf-8")


def report_of(
    folder: UploadFolder, choice: DetectorChoice, read: _Read, still_wanted: Callable[[], None]
) -> dict[str, Any]:
    """Return what a check found, as its page and the data API show it."""
    contract, label, good = choice.contract, read.label, ~np.concatenate(read.bad)
    _, sampled = read.sample.taken()
    labelled = None if label is None else labelled_sample(choice, read, label)
    found = [] if labelled is None else suspects(folder, labelled, still_wanted)
    return {
        "problems": [asdict(problem) for problem in read.problems],
        "duplicates": find_duplicates(np.flatnonzero(good), np.concatenate(read.hashes)[good]),
        "drift": drift.measure(choice.detector, sampled),
        "training_known": choice.detector.card is not None and bool(choice.detector.card.columns),
        "labels": None
        if label is None or labelled is None
        else {"column": contract.label, "compared": labelled.enough, **label_counts(label[good])},
        "suspects": [asdict(one) for one in found],
        "passed_over": max(len(extra(contract, choice.header)) - MOST_EXTRA, 0),
    }


def labelled_sample(choice: DetectorChoice, read: _Read, label: Labels) -> LabelledSample:
    """Return all frauds that were kept, and the others of the spread; two classes, one after the other."""
    frauds, theirs = read.frauds.taken()
    rows, values = read.sample.taken()
    other = label[rows] == 0
    rows, values = np.r_[frauds, rows[other]], np.r_[theirs, values[other]]
    return LabelledSample(
        contract=choice.contract,
        header=choice.header,
        rows=rows,
        values=values,
        label=label[rows],
        offsets=np.concatenate(read.offsets),
    )


def find_duplicates(rows: Rows, hashes: NDArray[np.uint64]) -> dict[str, Any]:
    """Return rows that are equal to an earlier one in every column that the detector needs; the label doesn't count.

    Of each row only its hash is kept, 8 bytes whatever its columns: two rows of one hash are taken for equal.
    """
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    again = np.zeros(len(order), bool)
    again[1:] = ordered[1:] == ordered[:-1]
    first = order[np.maximum.accumulate(np.where(again, 0, np.arange(len(order))))]
    repeats = np.flatnonzero(again)
    listed = repeats[np.argsort(order[repeats])[:PAIRS]]
    pairs = [{"row": int(rows[order[at]]) + 1, "repeats": int(rows[first[at]]) + 1} for at in listed.tolist()]
    return {"count": len(repeats), "first": pairs}


def label_counts(label: Labels) -> dict[str, int]:
    """Return how many rows have each label."""
    return {
        name: int((label == code).sum()) for name, code in (("fraud", 1), ("legitimate", 0), ("blank", -1))
    }
