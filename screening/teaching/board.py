"""Compute the cost of a stream with attacks at a threshold: missed fraud, reviews, customers who are stopped."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.scoring import thresholds
from screening.teaching.lesson import LADDER, Lesson, NoLesson
from screening.teaching.stream import Attack, PaymentStream, StreamColumns, StreamPlan, generate

KEPT = 8
"""Streams that a process keeps."""
MOST_COST = 1_000_000


@dataclass(frozen=True, slots=True)
class LessonPrices:
    """Unit costs: a review, and a customer who is stopped without cause; in the currency of the amounts."""

    review: float = 4.0
    stopped: float = 25.0

    def __post_init__(self) -> None:
        for name, value in (("review", self.review), ("stopped", self.stopped)):
            if not 0 <= value <= MOST_COST:
                raise NoLesson(
                    f"{value:g} is no price from 0 to {MOST_COST:,}.",
                    where=name,
                    remedy="Choose another one.",
                )


@dataclass(frozen=True, slots=True)
class AttackTally:
    """One kind of attack: its payments, and how many of them are flagged."""

    attack: str
    payments: int
    caught: int
    missed_amount: float


@dataclass(frozen=True, slots=True)
class LessonCost:
    """Cost of a threshold."""

    threshold: float
    reviews: int
    """Flagged payments: somebody looks at each."""
    false_alarms: int
    stopped: int
    """Customers with a false alarm: their cards didn't work."""
    missed: int
    missed_amount: float
    total: float


@dataclass(frozen=True, slots=True)
class ScoredStream:
    """A stream with the probabilities that a detector gave."""

    plan: StreamPlan
    stream: PaymentStream
    probabilities: NDArray[np.float32]

    @property
    def nothing(self) -> float:
        """Cost of fraud without any detector."""
        return float(self.stream.amounts[~self.stream.of(None)].sum())

    def tallies(self, threshold: float) -> list[AttackTally]:
        """Return what became of each kind of attack."""
        flagged = thresholds.flag(self.probabilities, threshold)
        found = []
        for attack in Attack:
            rows = self.stream.of(attack)
            missed = float(self.stream.amounts[rows & ~flagged].sum())
            found.append(AttackTally(attack.value, int(rows.sum()), int((rows & flagged).sum()), missed))
        return found

    def cost(self, threshold: float, prices: LessonPrices) -> LessonCost:
        """Return what a threshold costs."""
        flagged, legitimate = thresholds.flag(self.probabilities, threshold), self.stream.of(None)
        alarms, missed = flagged & legitimate, ~flagged & ~legitimate
        amount = float(self.stream.amounts[missed].sum())
        reviews, stopped = int(flagged.sum()), len(np.unique(self.stream.customers[alarms]))
        total = amount + reviews * prices.review + stopped * prices.stopped
        return LessonCost(threshold, reviews, int(alarms.sum()), stopped, int(missed.sum()), amount, total)

    def ladder(self, threshold: float, prices: LessonPrices) -> Sequence[LessonCost]:
        """Return the costs of some thresholds, this one among them, ascending."""
        return [self.cost(each, prices) for each in sorted({*LADDER, threshold})]


class Classroom:
    """The streams of a process: each is generated and scored once and kept for a while."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scored: dict[tuple[str, StreamPlan], ScoredStream] = {}

    def scored(self, detector: Detector, plan: StreamPlan) -> ScoredStream:
        """Return a plan's stream as a detector scores it.

        The labels of a fraud count for later payments once the detector's own delay has passed, as they do in files.

        Raises:
            NoLesson: the detector needs other columns than a stream has.
        """
        places = StreamColumns.of(detector.contract)
        if places is None:
            raise NoLesson(
                f"The detector {detector.name} needs other columns than who, where, when and how much.",
                remedy="Take one such as payments.",
            )
        key = (detector.fingerprint, plan)
        with self._lock:
            if key not in self._scored:
                stream = generate(plan, places)
                lesson = Lesson.of(detector, stream.content)
                scored = ScoredStream(plan, stream, lesson.probabilities)
                self._scored = dict([*self._scored.items(), (key, scored)][-KEPT:])
            return self._scored[key]


CLASSROOM = Classroom()
