"""Draw the cost of a threshold as a curve."""

from __future__ import annotations

from dataclasses import dataclass

from screening.review.threshold import Advice
from screening.web.views.charts.geometry import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Frame, Tick


@dataclass(frozen=True, slots=True)
class CostChart:
    """The total by threshold, its interval as a band, and two marks."""

    frame: Frame
    path: str
    band: str
    now_x: float
    best_x: float | None


def cost_chart(advice: Advice, now: float) -> CostChart:
    """Return the curve of one currency; ``now`` is the threshold that holds at present."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    # a threshold near 0 has everything reviewed: that would leave nothing to see of the rest
    limit = 3 * min(each.total for each in advice.costs) + max(each.missed for each in advice.costs) or 1.0

    def x(threshold: float) -> float:
        return round(LEFT + threshold * (right - LEFT), 1)

    def y(cost: float) -> float:
        return round(bottom - min(cost, limit) / limit * (bottom - TOP), 1)

    points = [(x(each.threshold), y(each.total)) for each in advice.costs]
    low = [(x(each.threshold), y(each.interval[0])) for each in advice.costs]
    high = [(x(each.threshold), y(each.interval[1])) for each in advice.costs]
    frame = Frame(
        WIDTH,
        HEIGHT,
        LEFT,
        right,
        TOP,
        bottom,
        tuple(Tick(x(at / 5), f"{at / 5:g}") for at in range(6)),
        (Tick(y(0), "0"), Tick(y(limit / 2), f"{limit / 2:,.0f}"), Tick(y(limit), f"{limit:,.0f}")),
    )
    return CostChart(
        frame,
        "M" + "L".join(f"{a} {b}" for a, b in points),
        "M" + "L".join(f"{a} {b}" for a, b in [*high, *reversed(low)]) + "Z",
        x(now),
        None if advice.best is None else x(advice.best.threshold),
    )
