"""The geometry of charts, worked out on the server: templates write it down as inline SVG, attributes only.

Every chart is drawn in its own units (``width`` by ``height`` of the ``viewBox``) and scales with its column.
Colours are the style sheet's business, so that dark and light are both designed. Each chart carries the
numbers that it was made from, for the table beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from screening.detectors.model_card import ReliabilityBin

WIDTH, HEIGHT = 560.0, 220.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 14.0, 24.0, 40.0
SQUARE = 300.0
GAP = 1.0
LARGEST_DECADE = 12


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark of an axis: where it stands and what it says."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle; ``kind`` is ``flagged`` or ``legitimate``."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Point:
    """One mark, with the ends of its interval when it has one."""

    x: float
    y: float
    low: float
    high: float
    title: str


@dataclass(frozen=True, slots=True)
class Frame:
    """The inner rectangle of a chart and its axes."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Rows by probability, counts on a log scale."""

    frame: Frame
    bars: tuple[Bar, ...]
    threshold_x: float
    table: tuple[tuple[str, int, int], ...]
    """Range in words, rows, flagged rows."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line in a frame, or points with intervals; ``diagonal`` says whether the diagonal means something."""

    frame: Frame
    path: str
    points: tuple[Point, ...]
    diagonal: bool


def histogram(bins: Sequence[tuple[float, float, int, int]], threshold: float) -> Histogram:
    """Draw bars of (low, high, rows, flagged rows).

    The scale is logarithmic: one bar of 284,000 beside bars of 5 would leave nothing to see of the 5. A bin
    that holds the threshold is drawn as two bars, left and right of it, each with its own count.
    """
    decades = max(1, math.ceil(math.log10(max((rows for _, _, rows, _ in bins), default=1) + 1)))
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(value: float) -> float:
        return LEFT + value * (right - LEFT)

    def y(count: float) -> float:
        return bottom - math.log10(count + 1) / decades * (bottom - TOP)

    def bar(low: float, high: float, count: int, kind: str) -> Bar:
        left, top, width = x(low) + GAP, y(count), x(high) - x(low) - 2 * GAP
        title = f"{range_of(low, high)}: {count:,} {kind}"
        return Bar(rounded(left), rounded(top), rounded(width), rounded(bottom - top), kind, title)

    bars: list[Bar] = []
    for low, high, rows, flagged in bins:
        split = low < threshold < high
        if rows > flagged:
            bars.append(bar(low, threshold if split else high, rows - flagged, "legitimate"))
        if flagged:
            bars.append(bar(threshold if split else low, high, flagged, "flagged"))
    ticks = (0, *(10**decade for decade in range(min(decades, LARGEST_DECADE) + 1)))
    frame = Frame(
        WIDTH, HEIGHT, LEFT, right, TOP, bottom,
        tuple(Tick(rounded(x(step / 5)), f"{step / 5:.1f}") for step in range(6)),
        tuple(Tick(rounded(y(count)), _short(count)) for count in ticks if count != 1),
    )  # fmt: skip
    table = tuple((range_of(low, high), rows, flagged) for low, high, rows, flagged in bins)
    return Histogram(frame, tuple(bars), rounded(x(threshold)), table)


def precision_recall(points: Sequence[Sequence[float]]) -> Curve:
    """Return the curve of [recall, precision] points."""
    frame = _square(even_ticks(), even_ticks())
    return Curve(frame, path_of([_place(frame, x, y) for x, y in points]), (), diagonal=False)


def over_time(points: Sequence[tuple[str, float, str]]) -> Curve:
    """Return a share of 0..1 by period: (period, share, title of its mark); the scale begins at a tenth below the
    least.
    """
    low = math.floor(min((share for _, share, _ in points), default=0.0) * 10) / 10
    low = min(low, 0.9)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    step = (right - LEFT) / max(len(points) - 1, 1)

    def y(share: float) -> float:
        return bottom - (share - low) / (1 - low) * (bottom - TOP)

    marks_of_y = (low, (1 + low) / 2, 1.0)
    placed = [
        (rounded(LEFT + step * place if points[1:] else (LEFT + right) / 2), rounded(y(share)))
        for place, (_, share, _) in enumerate(points)
    ]
    named = {0, len(points) - 1} if len(points) > 1 else {0} if points else set()
    # a date at the edge must not be cut
    inset = 28.0
    frame = Frame(
        WIDTH, HEIGHT, LEFT, right, TOP, bottom,
        tuple(
            Tick(min(max(placed[place][0], LEFT + inset), right - inset), points[place][0]) for place in sorted(named)
        ),
        tuple(Tick(rounded(y(mark)), f"{mark * 100:.0f}") for mark in marks_of_y),
    )  # fmt: skip
    marks = tuple(Point(x, at, at, at, title) for (x, at), (_, _, title) in zip(placed, points, strict=True))
    return Curve(frame, path_of(placed), marks, diagonal=False)


def by_value(points: Sequence[tuple[float, float]], marked: Sequence[tuple[float, float, str]]) -> Curve:
    """Return the probability as a value moves: (value, probability), and some points with the titles of their marks."""
    values = [value for value, _ in (*points, *((value, share) for value, share, _ in marked))]
    low, high = min(values), max(values)
    right, bottom, span = WIDTH - RIGHT, HEIGHT - BOTTOM, (high - low) or 1.0

    def place(value: float, share: float) -> tuple[float, float]:
        return rounded(LEFT + (value - low) / span * (right - LEFT)), rounded(bottom - share * (bottom - TOP))

    x_ticks = tuple(
        Tick(place(low + span * step / 4, 0)[0], _near(low + span * step / 4, span)) for step in range(5)
    )
    y_ticks = tuple(Tick(place(low, step / 4)[1], f"{step / 4:g}") for step in range(5))
    frame = Frame(WIDTH, HEIGHT, LEFT, right, TOP, bottom, x_ticks, y_ticks)
    dots = [(place(value, share), title) for value, share, title in marked]
    marks = tuple(Point(x, y, y, y, title) for (x, y), title in dots)
    return Curve(frame, path_of([place(*point) for point in points]), marks, diagonal=False)


def _near(value: float, span: float) -> str:
    """Return a number with as many digits as tell it from others on an axis so long."""
    digits = max(0, 1 - math.floor(math.log10(span)))
    return f"{value:,.{min(digits, 6)}f}".replace("-", "−")


def roc(points: Sequence[Sequence[float]]) -> Curve:
    """Return the curve of [false positive rate, recall] points; the diagonal is a detector that guesses."""
    frame = _square(even_ticks(), even_ticks())
    return Curve(frame, path_of([_place(frame, x, y) for x, y in points]), (), diagonal=True)


def reliability(bins: Sequence[ReliabilityBin]) -> Curve:
    """Draw the observed share of fraud against mean probability, with 95 % intervals, on logit axes.

    Most of the bins lie below 1 %: on a linear axis they would sit on one another in the corner.
    """
    marks = (0.001, 0.05, 0.5, 0.95, 0.999)
    scale = tuple((logit_place(mark), f"{mark * 100:g} %") for mark in marks)
    frame = _square(scale, scale)
    points = []
    for one in bins:
        x, y = _place(frame, logit_place(one.mean_probability), logit_place(one.observed))
        _, low = _place(frame, 0, logit_place(one.low))
        _, high = _place(frame, 0, logit_place(one.high))
        seen = f"{one.observed:.2%} ({one.low:.2%} to {one.high:.2%})"
        title = f"said {one.mean_probability:.2%}, seen {seen}"
        points.append(Point(x, y, low, high, title))
    return Curve(frame, "", tuple(points), diagonal=True)


def share_width(value: float | None, full: float = 100.0) -> float:
    """Return the length of a bar that stands for a share of 0..1."""
    return 0.0 if value is None or not math.isfinite(value) else rounded(min(max(value, 0.0), 1.0) * full)


def logit_place(value: float) -> float:
    """Return the place of a probability on a logit axis from 0.0001 to 0.9999, as 0..1."""
    edge = math.log(0.9999 / 0.0001)
    inside = min(max(value, 0.0001), 0.9999)
    return (math.log(inside / (1 - inside)) + edge) / (2 * edge)


def even_ticks() -> tuple[tuple[float, str], ...]:
    """Return the ticks of an axis from 0 to 1."""
    return tuple((step / 5, f"{step / 5:.1f}") for step in range(6))


def _square(x_scale: Sequence[tuple[float, str]], y_scale: Sequence[tuple[float, str]]) -> Frame:
    frame = Frame(SQUARE, SQUARE, LEFT, SQUARE - RIGHT, TOP, SQUARE - BOTTOM, (), ())
    x_ticks = tuple(Tick(_place(frame, value, 0)[0], text) for value, text in x_scale)
    y_ticks = tuple(Tick(_place(frame, 0, value)[1], text) for value, text in y_scale)
    return Frame(SQUARE, SQUARE, LEFT, SQUARE - RIGHT, TOP, SQUARE - BOTTOM, x_ticks, y_ticks)


def _place(frame: Frame, x: float, y: float) -> tuple[float, float]:
    across = frame.left + x * (frame.right - frame.left)
    return rounded(across), rounded(frame.bottom - y * (frame.bottom - frame.top))


def path_of(points: Sequence[tuple[float, float]]) -> str:
    """Return points in pixels as the path of an SVG line."""
    return " ".join(f"{'L' if number else 'M'}{x:g} {y:g}" for number, (x, y) in enumerate(points))


def range_of(low: float, high: float) -> str:
    """Return a range of probabilities in words."""
    return f"{low:.2f} to {high:.2f}"


def _short(count: int) -> str:
    """Return a power of ten that fits beside an axis: ``100``, ``10k``, ``1M``."""
    for size, unit in ((10**6, "M"), (10**3, "k")):
        if count >= size:
            return f"{count // size:,}{unit}"
    return str(count)


def rounded(value: float) -> float:
    """Return a length to a hundredth of a pixel."""
    return round(value, 2)
