"""Describe the tests on a card, whichever kinds there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from screening.detectors.model_card import Evaluation, Metrics
from screening.web.views import formatting

MEASURED_ON = {
    "time": "later rows",
    "stretches": "other stretches of time",
    "grouped": "rows of others than were learned from",
}


@dataclass(frozen=True, slots=True)
class CardTests:
    """Tests on a card: windows of time, folds, or the one validation of a training."""

    windows: tuple[Evaluation, ...]
    folds: Evaluation | None
    validation: Evaluation | None

    @classmethod
    def of(cls, metrics: Metrics) -> CardTests:
        """Return the tests of a card."""
        folds = metrics.folds
        named = None if folds is None else replace(folds, name=folds.name or "folds")
        return cls(metrics.windows, named, metrics.validation)

    @property
    def honest(self) -> tuple[Evaluation, ...]:
        """Those that the figures are the mean of: later rows before mixed ones."""
        return self.windows or tuple(one for one in (self.validation, self.folds) if one)[:1]

    @property
    def widest(self) -> Evaluation | None:
        """The test with the most rows behind it, for curves and for what is flagged."""
        return self.validation or self.folds or (self.windows[-1] if self.windows else None)

    @property
    def all(self) -> tuple[Evaluation, ...]:
        """Every test."""
        return tuple(one for one in (*self.windows, self.validation, self.folds) if one)

    @property
    def short(self) -> str:
        """Source of the figures in a few words."""
        if self.windows:
            return f"{len(self.windows)} windows of later rows"
        if self.validation:
            return MEASURED_ON.get(self.validation.kind or "", "rows drawn at random")
        return "folds" if self.folds else ""

    @property
    def source(self) -> str:
        """Source of the figures in a sentence."""
        if self.windows:
            return f"Mean of {len(self.windows)} windows of time, each tested on payments later than the training data"
        if self.validation:
            where = self.validation.name or "rows that it was not trained on"
            rows, frauds = map(formatting.number, (self.validation.rows, self.validation.frauds))
            return f"Measured on {where}: {rows} rows, {frauds} of them fraud"
        return "From folds of the training data"


def mean(values: Iterable[float | None]) -> float | None:
    """Return the mean of those that are known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
