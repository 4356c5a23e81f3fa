"""One decision as a page shows it: who and what it was about, how likely fraud it is, and what these did before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from screening.ledger import identity, money
from screening.ledger.fields import entities_of
from screening.web.services import services
from screening.web.views.charts.geometry import Frame, Tick

# Medium risk begins at this share of the threshold. At a threshold of 0.8 that is a probability of 0.2: one
# in five is fraud.
MEDIUM = 0.25
WIDTH, HEIGHT = 560.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 60.0, 40.0, 28.0, 28.0
# In log odds: beyond it, a larger factor tells a reader nothing more.
MOST_EFFECT = 50.0
SPAN_FORMATS = ((3 * 86_400, "%-d %b %H:%M"), (400 * 86_400, "%-d %b"), (float("inf"), "%b %Y"))


def level_of(probability: float | None, threshold: float, *, flagged: bool | None = None) -> str:
    """Return the level of risk: ``high`` is flagged, ``medium`` near it, ``low`` the rest; ``none`` was not scored.

    Args:
        probability: the detector's.
        threshold: from which on a row is flagged.
        flagged: what came of it where rules had a say: one that they flag is high, one that they silence isn't.
    """
    if probability is None:
        return "none"
    if probability >= threshold if flagged is None else flagged:
        return "high"
    return "medium" if probability >= threshold * MEDIUM else "low"


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A row of the ledger. ``amount`` as people write it; times UTC."""

    id: str
    screening: str | None
    number: int
    source: str
    detector: str
    probability: float
    threshold: float
    flagged: bool
    amount: float | None
    currency: str | None
    label: int | None
    decided_at: datetime
    event_time: datetime | None
    fraud_type: str | None
    action: str | None
    """``block``: it was to be stopped without a look; ``None`` where the detector had no second threshold."""
    who: Sequence[tuple[str, str]]
    """Who and what it was about: kind and value."""
    reason: str | None
    """The strongest, if there is one."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> LedgerRow:
        """Return a row as :class:`screening.ledger.queries.questions.Questions` gives it."""
        amount, decided_at = row["amount"], row["decided_at"].replace(tzinfo=UTC)
        return cls(
            id=str(identity.TransactionId(row["origin"], row["number"])),
            screening=row["screening"],
            number=row["number"],
            source=row["source"],
            detector=row["detector"],
            probability=row["probability"],
            threshold=row["threshold"],
            flagged=row["flagged"],
            amount=None if amount is None else money.major(amount, row["currency"]),
            currency=row["currency"],
            label=row["label"],
            decided_at=decided_at,
            event_time=None if row["event_time"] is None else row["event_time"].replace(tzinfo=UTC),
            fraud_type=row["fraud_type"],
            action=services().thresholds.action(
                row["detector"], decided_at, row["probability"], flagged=row["flagged"]
            ),
            who=entities_of(row),
            reason=next(iter(row.get("reasons") or ()), None),
        )

    @property
    def level(self) -> str:
        """The level of risk, by what was decided then."""
        return level_of(self.probability, self.threshold, flagged=self.flagged)

    @property
    def moment(self) -> datetime:
        """Time of the transaction, or where the data have no calendar, when it was decided."""
        return self.event_time or self.decided_at


@dataclass(frozen=True, slots=True)
class ReasonBar:
    """One reason of a decision.

    ``times``: by how much it multiplies the odds of fraud. ``share``: how long its bar is, 0 to 100, of the strongest.
    Both are ``None`` where no effect is known: a rule's reason has none.
    """

    text: str
    times: float | None = None
    share: float | None = None


def reason_bars(reasons: Sequence[str], effects: Sequence[float]) -> list[ReasonBar]:
    """Return reasons with their bars.

    Args:
        reasons: texts; those of the net first.
        effects: of the net's reasons, on the log odds.
    """
    most = max(effects, default=0.0) or 1.0
    bars = [
        ReasonBar(text, math.exp(min(effect, MOST_EFFECT)), round(100 * max(effect, 0.0) / most, 1))
        for text, effect in zip(reasons, effects, strict=False)
    ]
    return [*bars, *map(ReasonBar, reasons[len(bars) :])]


@dataclass(frozen=True, slots=True)
class TimelineMark:
    """A transaction on the time axis; ``kind`` is ``flagged`` or ``legitimate``."""

    x: float
    y: float
    kind: str
    this: bool
    title: str
    id: str


@dataclass(frozen=True, slots=True)
class TimelineView:
    """Transactions by time and amount."""

    frame: Frame
    marks: Sequence[TimelineMark]


def timeline(rows: Sequence[LedgerRow], this: str = "") -> TimelineView | None:
    """Return transactions on a time axis; ``None`` for fewer than two, which show nothing.

    Args:
        rows: in any order.
        this: the id of the one that the page is about.
    """
    if len(rows) < 2:
        return None
    times = [row.moment.timestamp() for row in rows]
    first, last = min(times), max(times)
    span = (last - first) or 1.0
    amounts = [row.amount or 0.0 for row in rows]
    most = max(*amounts, 0.0) or 1.0
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(seconds: float) -> float:
        return round(LEFT + (seconds - first) / span * (right - LEFT), 1)

    def y(amount: float) -> float:
        return round(bottom - max(amount, 0.0) / most * (bottom - TOP), 1)

    pattern = next(form for longest, form in SPAN_FORMATS if span < longest)
    ticks = tuple(
        Tick(x(at), f"{datetime.fromtimestamp(at, UTC):{pattern}}")
        for at in (first, first + span / 2, first + span)
    )
    frame = Frame(
        WIDTH, HEIGHT, LEFT, right, TOP, bottom, ticks, (Tick(y(0), "0"), Tick(y(most), f"{most:,.0f}"))
    )  # fmt: skip
    marks = [
        TimelineMark(
            x(at),
            y(amount),
            "flagged" if row.flagged else "legitimate",
            row.id == this,
            f"{row.moment:%-d %b %Y, %H:%M}: {amount:,.2f}, {'flagged' if row.flagged else 'not flagged'}",
            row.id,
        )
        for row, at, amount in zip(rows, times, amounts, strict=True)
    ]
    return TimelineView(frame, sorted(marks, key=lambda mark: (mark.this, mark.kind == "flagged")))
