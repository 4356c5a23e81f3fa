"""What a card tells of its tests, whichever kinds there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from screening.web.views import formatting


@dataclass(frozen=True, slots=True)
class Tested:
    """What a card tells of its tests: windows of time, folds, or the one validation of a training."""

    windows: tuple[Mapping[str, Any], ...]
    folds: Mapping[str, Any]
    validation: Mapping[str, Any]

    @classmethod
    def of(cls, metrics: Mapping[str, Any]) -> Tested:
        """The tests in a card's ``metrics``."""
        folds = metrics.get("folds") or {}
        return cls(
            tuple(metrics.get("windows") or ()),
            {"name": "folds", **folds} if folds else {},
            metrics.get("validation") or {},
        )

    @property
    def honest(self) -> tuple[Mapping[str, Any], ...]:
        """Those that the figures are the mean of: later rows before mixed ones."""
        return self.windows or tuple(one for one in (self.validation, self.folds) if one)[:1]

    @property
    def widest(self) -> Mapping[str, Any]:
        """The test with the most rows behind it, for curves and for what is flagged."""
        return self.validation or self.folds or (self.windows[-1] if self.windows else {})

    @property
    def all(self) -> tuple[Mapping[str, Any], ...]:
        """Every test."""
        return tuple(one for one in (*self.windows, self.validation, self.folds) if one)

    @property
    def short(self) -> str:
        """What the figures were measured on, in a few words."""
        if self.windows:
            return f"{len(self.windows)} windows of later rows"
        if self.validation:
            return "later rows" if self.validation.get("kind") == "time" else "rows drawn at random"
        return "folds" if self.folds else ""

    @property
    def source(self) -> str:
        """What the figures were measured on, in a sentence."""
        if self.windows:
            return f"Mean of {len(self.windows)} windows of time, each tested on payments later than the training data"
        if self.validation:
            where = self.validation.get("name") or "rows that it was not trained on"
            rows, frauds = (formatting.number(self.validation.get(name)) for name in ("rows", "frauds"))
            return f"Measured on {where}: {rows} rows, {frauds} of them fraud"
        return "From folds of the training data"


def mean(tests: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """The mean of one measure over the tests that have it."""
    values = [test[name] for test in tests if test.get(name) is not None]
    return sum(values) / len(values) if values else None
