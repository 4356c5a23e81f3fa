"""The outcome of a screening as arrays on disk: one number a row, read by memory map, so that pages stay quick."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from screening.errors import NotFound
from screening.intake import find_rows
from screening.rules.files import with_rules
from screening.uploads.upload_folder import UploadFolder

SortKey = Literal["row", "probability", "amount", "time"]
HISTOGRAM_BINS = 20
DRAFT = ".outcome-"
"""Beginning of the folder in which an outcome is written."""
MOST_FOUND = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFilter:
    """Filter of the rows to show. Bounds are inclusive; ``None`` is no bound."""

    sort: SortKey = "row"
    descending: bool = False
    flagged: bool = False
    min_probability: float | None = None
    max_probability: float | None = None
    min_amount: float | None = None
    max_amount: float | None = None
    holding: str = ""
    """A text that a cell of the row must be; the first :data:`MOST_FOUND` such rows are shown."""


@contextmanager
def drafted(folder: UploadFolder) -> Iterator[Path]:
    """Give a folder for an outcome that takes its place at the end, file by file, unless an error is raised.

    A host that was cut off in the middle may go on writing once it is back, when another one has done its work: what it
    writes then is nobody's.
    """
    for left in folder.path.glob(f"{DRAFT}*"):
        rmtree(left, ignore_errors=True)
    draft = Path(mkdtemp(prefix=DRAFT, dir=folder.path))
    try:
        yield draft
        for each in draft.iterdir():
            each.replace(folder.path / each.name)
    finally:
        rmtree(draft, ignore_errors=True)


def save_arrays(draft: Path, arrays: dict[str, NDArray[Any] | None]) -> None:
    """Write the arrays of a screening, each of shape (rows,), as far as there are any."""
    for name, array in arrays.items():
        if array is not None:
            np.save(draft / f"{name}.npy", array)


def save_words(
    draft: Path, reasons: dict[int, list[str]], effects: dict[int, list[float]], meta: dict[str, Any]
) -> None:
    """Write what else it found.

    Args:
        draft: of the outcome.
        reasons: by row, counted from 0; those of the net first.
        effects: of the net's reasons, as :attr:`screening.scoring.reason_codes.Reason.effect` says it.
        meta: everything else.
    """
    (draft / "effects.json").write_text(json.dumps(effects), encoding="utf-8")
    (draft / "reasons.json").write_text(json.dumps(reasons), encoding="utf-8")
    (draft / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


class ScreeningOutcome:
    """Reads one screening's arrays, each of shape (rows,). ``probability`` is NaN for rows that were set aside."""

    def __init__(self, folder: UploadFolder, threshold: float) -> None:
        self._folder = folder
        self._threshold = np.float32(threshold)

    @property
    def there(self) -> bool:
        """Return whether the files are still there."""
        return (self._folder.path / "probability.npy").is_file()

    def _load(self, name: str) -> NDArray[Any] | None:
        file = self._folder.path / f"{name}.npy"
        return np.load(file, mmap_mode="r", allow_pickle=False) if file.exists() else None

    def _must(self, name: str) -> NDArray[Any]:
        found = self._load(name)
        if found is None:
            raise NotFound(
                "The files of this screening are gone from the disk.", remedy="Send the file again."
            )
        return found

    @cached_property
    def probability(self) -> NDArray[np.float32]:
        """Probability of fraud by row, (rows,); NaN for rows that were set aside."""
        return self._must("probability")

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Byte at which each row begins in :attr:`canonical`, (rows,)."""
        return self._must("offsets")

    @cached_property
    def amount(self) -> NDArray[np.float64] | None:
        """Amount by row, (rows,), in the file's currency; ``None`` where it has none."""
        return self._load("amount")

    @cached_property
    def time(self) -> NDArray[np.float64] | None:
        """Time by row, (rows,), in seconds; ``None`` where the file has none."""
        return self._load("time")

    @cached_property
    def label(self) -> NDArray[np.int8] | None:
        """Label by row, (rows,): 1 for fraud, 0 for legitimate, -1 for a blank; ``None`` where the file has none."""
        return self._load("label")

    @cached_property
    def flagged(self) -> NDArray[np.bool_]:
        """Rows that are flagged at the screening's threshold, (rows,), the rules included that had a say."""
        return self._decided(self._threshold)

    def _decided(self, threshold: np.float32) -> NDArray[np.bool_]:
        """Return which rows are flagged at a threshold, (rows,), the rules included that had a say."""
        net = np.asarray(self.probability >= threshold)
        told = self.meta.get("rules") if self.rule_hits is not None else None
        if told is None or self.rule_hits is None:
            return net
        return with_rules(net, [effect for _, effect, _ in told["active"]], self.rule_hits)

    @cached_property
    def rule_hits(self) -> NDArray[np.bool_] | None:
        """Hits of rules by row, (rows, rules of ``meta["rules"]``)."""
        return self._load("rule_hits")

    def rules_at(self, row: int) -> list[str]:
        """Return the names of the rules that fired for a row, from 0."""
        told, hits = self.meta.get("rules"), self.rule_hits
        if told is None or hits is None:
            return []
        return [name for (name, *_), hit in zip(told["active"], hits[row].tolist(), strict=False) if hit]

    @cached_property
    def fact_columns(self) -> NDArray[np.float64] | None:
        """Facts that rules ask for, (rows, keys of ``meta["facts"]["columns"]``)."""
        return self._load("fact_columns")

    @cached_property
    def fact_inputs(self) -> NDArray[np.float32] | None:
        """Features that rules ask for, as the net has them, (rows, keys of ``meta["facts"]["inputs"]``)."""
        return self._load("fact_inputs")

    @cached_property
    def reasons(self) -> dict[int, list[str]]:
        """Reasons of flagged rows, the strongest first, by row from 0."""
        text = (self._folder.path / "reasons.json").read_text(encoding="utf-8")
        return {int(row): found for row, found in json.loads(text).items()}

    @cached_property
    def effects(self) -> dict[int, list[float]]:
        """Effects of the net's reasons on the log odds, by row; none of a screening of before these were kept."""
        file = self._folder.path / "effects.json"
        if not file.exists():
            return {}
        return {int(row): found for row, found in json.loads(file.read_text(encoding="utf-8")).items()}

    @cached_property
    def meta(self) -> dict[str, Any]:
        """Everything else that was found, as :func:`save_words` wrote it."""
        loaded: dict[str, Any] = json.loads((self._folder.path / "meta.json").read_text(encoding="utf-8"))
        return loaded

    @property
    def canonical(self) -> Path:
        """The CSV that ``offsets`` point into."""
        return self._folder.readable

    @property
    def rejected(self) -> NDArray[np.int64]:
        """The rows that were set aside, from 0."""
        return np.flatnonzero(np.isnan(self.probability))

    @property
    def problems(self) -> list[dict[str, Any]]:
        """Problems of rows that were set aside, the first thousand."""
        listed: list[dict[str, Any]] = self.meta["set_aside"]
        return listed

    def select(self, chosen: RowFilter) -> NDArray[np.int64]:
        """Return row numbers, from 0, that pass the filter, in the order asked for. Rows without the key come last."""
        keep = np.ones(len(self.probability), dtype=bool)
        if chosen.holding:
            keep[:] = False
            keep[find_rows(self.canonical, self.offsets, chosen.holding, most=MOST_FOUND)] = True
        if chosen.flagged:
            keep &= self.flagged
        for values, low, high in (
            (self.probability, chosen.min_probability, chosen.max_probability),
            (self.amount, chosen.min_amount, chosen.max_amount),
        ):
            if values is not None and low is not None:
                keep &= values >= low
            if values is not None and high is not None:
                keep &= values <= high
        rows = np.flatnonzero(keep)
        key = {"probability": self.probability, "amount": self.amount, "time": self.time}.get(chosen.sort)
        if key is None:
            return rows[::-1] if chosen.descending else rows
        values = key[rows]
        return rows[np.argsort(-values if chosen.descending else values, kind="stable")]

    def strongest(self, count: int) -> NDArray[np.int64]:
        """Return the flagged rows with the highest probabilities, highest first."""
        return self.select(RowFilter(sort="probability", descending=True, flagged=True))[:count]

    def histogram(self, bins: int = HISTOGRAM_BINS) -> list[tuple[float, float, int, int]]:
        """Return (low, high, rows, flagged rows) of equal bins over 0..1; the last one includes 1."""
        scored = np.asarray(self.probability)[np.isfinite(self.probability)]
        every, edges = np.histogram(scored, bins, (0, 1))
        flags, _ = np.histogram(np.asarray(self.probability)[self.flagged], bins, (0, 1))
        return [(float(edges[i]), float(edges[i + 1]), int(every[i]), int(flags[i])) for i in range(bins)]

    def flagged_at(self, threshold: float) -> int:
        """Count the rows that would be flagged at another threshold."""
        return int(self._decided(np.float32(threshold)).sum())

    def trial(self, threshold: float) -> dict[str, Any]:
        """Try another threshold: return its flags, and the outcome to expect if the probabilities mean what they say.

        The mean probability of the flagged rows is their expected precision; their expected fraud over that of all
        rows is the expected recall. Rules have the say that they had.
        """
        scored = np.asarray(self.probability)[np.isfinite(self.probability)].astype(np.float64)
        chosen = np.asarray(self.probability)[self._decided(np.float32(threshold))].astype(np.float64)
        return {
            "value": threshold,
            "flagged": len(chosen),
            "rows": len(scored),
            "expected_precision": float(chosen.mean()) if len(chosen) else None,
            "expected_recall": float(chosen.sum() / scored.sum())
            if len(scored) and scored.sum() > 0
            else None,
        }
