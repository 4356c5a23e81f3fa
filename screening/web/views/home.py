"""The figures of the home page, as they are shown: in words, with the way of the last days as a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from screening.explore.overview import DAYS, Overview, PeriodCounts
from screening.review.listing import DayOfWork
from screening.web.views import formatting

WIDTH, HEIGHT = 120.0, 24.0
MOST_CURRENCIES = 2


@dataclass(frozen=True, slots=True)
class Kpi:
    """One figure. ``beside`` says of how many it is, ``change`` what it was in the days before."""

    word: str
    help: str
    value: str
    beside: str = ""
    change: str = ""
    line: str = ""
    """The way of the last days, the points of an SVG polyline in 120 by 24; empty where nothing was counted."""
    risk: bool = False


def kpis(found: Overview, work: Sequence[DayOfWork]) -> list[Kpi]:
    """Return the figures, each with its help.

    Args:
        found: what was scored.
        work: what was decided, day by day, in twice as many days as are shown.
    """
    now, before, days = found.now, found.before, found.days
    done, earlier = work[len(work) // 2 :], work[: len(work) // 2]
    decided, fraud, sure = (sum(getattr(day, name) for day in done) for name in ("decided", "fraud", "sure"))
    fraud_before, sure_before = (sum(getattr(day, name) for day in earlier) for name in ("fraud", "sure"))
    stopped = "" if found.blocked is None else f"{formatting.number(found.blocked)} to be stopped"
    return [
        Kpi(
            "Scored",
            "Transactions that were decided on, in files and by the API.",
            formatting.number(now.scored),
            change=_change(now.scored, before.scored),
            line=_line([day.scored for day in days]),
        ),
        Kpi(
            "Flagged",
            "Transactions at or above the threshold.",
            formatting.number(now.flagged),
            beside=formatting.percent(now.flag_rate, 2) if now.scored else "",
            change=", ".join(
                filter(None, (stopped, _change(now.flagged, before.flagged)))
            ),
            line=_line([day.flagged for day in days]),
            risk=now.flagged > 0,
        ),
        Kpi(
            "Amount at risk",
            "The amounts of flagged transactions.",
            money(now.at_risk),
            line=_line(_amounts(days)),
        ),
        Kpi(
            "Decided",
            "Transactions whose cases were decided in these days, whenever they were flagged.",
            formatting.number(decided),
            line=_line([day.decided for day in done]),
        ),
        Kpi(
            "Hit rate",
            "Of the transactions that were decided to be fraud or legitimate, the share that was fraud (precision).",
            formatting.percent(formatting.share(fraud, sure) if sure else None),
            beside=f"{formatting.number(fraud)} of {formatting.number(sure)}" if sure else "no flag decided",
            change=f"{formatting.percent(fraud_before / sure_before)} before" if sure_before else "",
        ),
    ]  # fmt: skip


def money(amounts: Mapping[str | None, float]) -> str:
    """Return sums in words, the largest first; currencies aren't added up."""
    named = sorted(amounts.items(), key=lambda item: -item[1])
    shown = [
        f"{formatting.amount(value)} {currency or ''}".strip() for currency, value in named[:MOST_CURRENCIES]
    ]
    if len(named) > MOST_CURRENCIES:
        left = len(named) - MOST_CURRENCIES
        shown.append(f"{left} more {formatting.plural(left, 'currency', 'currencies')}")
    return " + ".join(shown) if shown else formatting.NOTHING


def _change(now: int, before: int) -> str:
    if not before:
        return ""
    ratio = now / before - 1
    if abs(ratio) < 0.005:  # would round to nothing
        return f"as in the {DAYS} days before"
    sign = "+" if ratio > 0 else "−"
    return f"{sign}{formatting.percent(abs(ratio), 0)} on the {DAYS} days before"


def _amounts(days: Sequence[PeriodCounts]) -> list[float]:
    """Return the amounts by day where all are of one currency; several have no line."""
    if len({currency for day in days for currency in day.at_risk}) > 1:
        return []
    return [sum(day.at_risk.values()) for day in days]


def _line(values: Sequence[float]) -> str:
    most = max(values, default=0)
    if most <= 0 or len(values) < 2:
        return ""
    step = WIDTH / (len(values) - 1)
    return " ".join(
        f"{at * step:.1f},{HEIGHT - 2 - value / most * (HEIGHT - 4):.1f}" for at, value in enumerate(values)
    )
