"""Charts of the page of monitoring: two distributions side by side, shares over time with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from screening.monitoring.findings import ComparedColumn
from screening.monitoring.quality import Estimate, QualityPeriod
from screening.web.views.charts.geometry import BOTTOM, HEIGHT, RIGHT, TOP, WIDTH, Bar, Frame, Point, Tick

# Room for “0.01 %” in the larger type of a phone.
LEFT = 68.0
DECADES = 4
"""Of shares, from 0.01 % to all."""
LEAST_HEIGHT = 1.5
MINI_STEP, MINI_HEIGHT = 8.0, 28.0
SHOWN_EDGES = {0.001: "0.001", 0.01: "0.01", 0.1: "0.1", 0.5: "0.5", 0.9: "0.9", 0.99: "0.99"}
MOST_DATES = 6


@dataclass(frozen=True, slots=True)
class Bars:
    """Two distributions in a frame."""

    frame: Frame
    bars: tuple[Bar, ...]
    """``kind`` is ``then`` or ``now``."""
    table: tuple[tuple[str, float, float], ...]
    """Range in words, share then and now."""


@dataclass(frozen=True, slots=True)
class Dots:
    """Shares over time: those of which labels have come, and those that aren't final."""

    frame: Frame
    closed: tuple[Point, ...]
    open: tuple[Point, ...]


def scores(given: ComparedColumn) -> Bars:
    """Draw the shares of the score's bins, side by side, on a log scale: nearly all payments lie in the lowest ones."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    step = (right - LEFT) / len(given.now)

    def y(share: float) -> float:
        return bottom - max(math.log10(max(share, 1e-9)) + DECADES, 0) / DECADES * (bottom - TOP)

    bars = []
    for number, (then, now) in enumerate(zip(given.then, given.now, strict=True)):
        for place, (kind, share) in enumerate((("then", then), ("now", now))):
            if share:
                height = max(bottom - y(share), LEAST_HEIGHT)
                left = LEFT + step * (number + 0.1 + 0.4 * place)
                title = f"{_range(given.edges, number)}: {share:.3%} {'in the reference' if kind == 'then' else 'now'}"
                bars.append(
                    Bar(
                        round(left, 2),
                        round(bottom - height, 2),
                        round(step * 0.4, 2),
                        round(height, 2),
                        kind,
                        title,
                    )
                )
    ticks = tuple(
        Tick(round(LEFT + step * (number + 1), 2), SHOWN_EDGES[edge])
        for number, edge in enumerate(given.edges)
        if edge in SHOWN_EDGES
    )
    shares = (0.0001, 0.001, 0.01, 0.1, 1.0)
    frame = Frame(
        WIDTH, HEIGHT, LEFT, right, TOP, bottom, ticks,
        tuple(Tick(round(y(share), 2), f"{share * 100:g} %") for share in shares),
    )  # fmt: skip
    table = tuple(
        (_range(given.edges, number), then, now)
        for number, (then, now) in enumerate(zip(given.then, given.now, strict=True))
    )
    return Bars(frame, tuple(bars), table)


def mini(given: ComparedColumn) -> Bars:
    """Return the bins of a column, small and without axes; the last one is the blanks."""
    width, most = MINI_STEP * len(given.now), max(*given.then, *given.now, 1e-9)
    bars = []
    for number, pair in enumerate(zip(given.then, given.now, strict=True)):
        for place, (kind, share) in enumerate(zip(("then", "now"), pair, strict=True)):
            height = round(share / most * MINI_HEIGHT, 2)
            left = round(MINI_STEP * (number + 0.08 + 0.42 * place), 2)
            bars.append(
                Bar(left, round(MINI_HEIGHT - height, 2), round(MINI_STEP * 0.4, 2), height, kind, "")
            )
    return Bars(Frame(width, MINI_HEIGHT, 0, width, 0, MINI_HEIGHT, (), ()), tuple(bars), ())


def over_time(periods: Sequence[QualityPeriod], which: str) -> Dots:
    """Draw the precision or recall of each period in which there are labels enough.

    Args:
        periods: the earliest first.
        which: ``precision`` or ``recall``.
    """
    frame = _timeline(periods, 1.0)
    closed: list[Point] = []
    open_ones: list[Point] = []
    for period, x in zip(periods, _places(periods), strict=True):
        found: Estimate | None = getattr(period, which)
        if found is None or found.share is None or found.interval is None:
            continue
        low, high = found.interval
        title = f"{day_of(period.start)}: {found.share:.1%} ({low:.1%} to {high:.1%}), {found.hits:,} of {found.of:,}"
        if period.open:
            title += "; labels may still come"
        point = Point(x, height_of(frame, found.share), height_of(frame, low), height_of(frame, high), title)
        (open_ones if period.open else closed).append(point)
    return Dots(frame, tuple(closed), tuple(open_ones))


def flag_rates(periods: Sequence[QualityPeriod]) -> Bars:
    """Return the share of flagged rows of each period."""
    rates = [period.flagged / period.rows if period.rows else 0.0 for period in periods]
    most = _round_up(max(rates, default=0.0))
    frame = _timeline(periods, most)
    places = _places(periods)
    width = min((frame.right - frame.left) / count_spans(periods) * 0.8, 28.0)
    bars = tuple(
        Bar(
            round(x - width / 2, 2),
            top := min(height_of(frame, rate / most), round(frame.bottom - LEAST_HEIGHT, 2)),
            round(width, 2),
            round(frame.bottom - top, 2),
            "now",
            f"{day_of(period.start)}: {rate:.2%} of {period.rows:,} rows",
        )
        for period, rate, x in zip(periods, rates, places, strict=True)
    )
    return Bars(frame, bars, ())


def count_spans(periods: Sequence[QualityPeriod]) -> int:
    """Return the number of periods between the first and the last, those without rows among them."""
    if len(periods) < 2:
        return 1
    least = min((later.start - earlier.start).days for earlier, later in pairwise(periods))
    return (periods[-1].start - periods[0].start).days // least + 1


def _places(periods: Sequence[QualityPeriod]) -> list[float]:
    spans = count_spans(periods)
    right, step = WIDTH - RIGHT, (WIDTH - RIGHT - LEFT) / spans
    if len(periods) < 2:
        return [round((LEFT + right) / 2, 2) for _ in periods]
    days = (periods[-1].start - periods[0].start).days
    return [
        round(LEFT + step / 2 + (each.start - periods[0].start).days / days * (right - LEFT - step), 2)
        for each in periods
    ]


def _timeline(periods: Sequence[QualityPeriod], most: float) -> Frame:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    every = max(math.ceil(len(periods) / MOST_DATES), 1)
    dates = tuple(
        Tick(x, f"{each.start:%-d %b}")
        for number, (each, x) in enumerate(zip(periods, _places(periods), strict=True))
        if number % every == 0
    )
    shares = tuple(
        Tick(round(bottom - step / 4 * (bottom - TOP), 2), f"{most * step / 4 * 100:.3g} %")
        for step in range(5)
    )
    return Frame(WIDTH, HEIGHT, LEFT, right, TOP, bottom, dates, shares)


def height_of(frame: Frame, share: float) -> float:
    """Return where a share lies, in pixels from the top."""
    return round(frame.bottom - share * (frame.bottom - frame.top), 2)


def _round_up(share: float) -> float:
    """Return the next of 1, 2 and 5 times a power of ten, at most all."""
    if share <= 0:
        return 0.01
    power = 10.0 ** math.floor(math.log10(share))
    return min(next(step * power for step in (1, 2, 5, 10) if step * power >= share * (1 - 1e-9)), 1.0)


def day_of(day: date) -> str:
    """Return a day as the chart names it."""
    return f"{day:%-d %b %Y}"


def _range(edges: Sequence[float], number: int) -> str:
    low = f"{edges[number - 1]:g}" if number else "0"
    return f"{low} to {edges[number]:g}" if number < len(edges) else f"{low} to 1"
