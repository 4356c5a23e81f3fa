"""One input of a net: what it is called, what it is made of, and how its value is said to a person."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

MINUTE, HOUR, DAY = 60, 3600, 86_400
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# where numbers are written otherwise
SMALLEST, THOUSAND, LARGEST = 1e-3, 1000, 1e15
# of a logarithm in 32 bits, and more
ROUNDING = 1e-4
# beyond it the exponential is of no use to anybody
STEEPEST = 80.0
# Frequencies are kept as ``log1p(share * PER) / log1p(PER)``, so that they range from 0 for a level never
# seen to 1 for the only one.
PER = 10_000


class Shape(StrEnum):
    """Kinds of calculation that turn a quantity into a feature's number."""

    PLAIN = "plain"
    COUNT = "count"
    """log1p of a count."""
    AMOUNT = "amount"
    """Signed log1p of an amount in units of ``scale``."""
    DURATION = "duration"
    """log1p of seconds; negative if the moment is still to come."""
    RATIO = "ratio"
    """The difference of two ``AMOUNT``: close to the logarithm of their ratio."""
    SCORE = "score"
    """asinh of standard deviations."""
    SHARE = "share"
    FREQUENCY = "frequency"
    HOUR = "hour"
    DAY_PART = "day part"
    """Hours since a count last completed a day."""
    DISTANCE = "distance"
    """log1p of kilometres."""
    WEEKDAY = "weekday"
    """0 is Monday."""
    CYCLE = "cycle"
    FLAG = "flag"


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the matrix that :func:`screening.features.compute` returns."""

    name: str
    columns: tuple[str, ...]
    """The columns of the file that it is made of, besides the time."""
    words: str
    """For a person, to be read before " is <value>"; a whole sentence where :meth:`show` says nothing."""
    shape: Shape
    key: tuple[str, ...]
    """Key by which the engine finds it: the statistic, its columns, and its window."""
    topic: str = ""
    """Features of one topic stand together and say one thing; without one, a feature is by itself."""
    scale: float = 1.0
    never: str = ""
    """A whole sentence for a duration that stands for "not in all that is remembered"."""
    memory: float = math.inf
    """Seconds that are remembered."""

    def is_never(self, value: float) -> bool:
        """Return whether a value stands for something that isn't remembered at all."""
        return bool(self.never) and unlogged(value) >= self.memory * (1 - ROUNDING)

    def show(self, value: float) -> str | None:
        """Return the value for a person, with its unit; ``None`` where the words say all."""
        if self.shape in (Shape.CYCLE, Shape.FLAG):
            return None
        if self.shape is Shape.AMOUNT:
            return number(unlogged(value) * self.scale)
        return SHOWN[self.shape](value)


def unlogged(value: float) -> float:
    """Undo the logarithm of a feature: ``sign(x) (exp(|x|) - 1)``, bounded where it would overflow."""
    return math.copysign(math.expm1(min(abs(value), STEEPEST)), value)


def number(value: float) -> str:
    """Return a number of a few digits, without a power of ten where it can be read without."""
    size = abs(value)
    if size and not SMALLEST <= size < LARGEST:
        return f"{value:.3g}"
    if size >= THOUSAND:
        return f"{value:,.0f}"
    digits = 2 if size >= 1 / 10 else 4
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")


def in_percent(value: float) -> str:
    """Return a share as a percentage, to three digits."""
    return f"{100 * value:.3g} %"


def _clock(hours: float) -> str:
    minutes = round(hours * 60) % (24 * 60)
    return f"{minutes // 60}:{minutes % 60:02d}"


def _since(logged: float) -> str:
    seconds = unlogged(logged)
    return duration(seconds) if seconds >= 0 else f"{duration(-seconds)} ahead"


def duration(seconds: float) -> str:
    """Return a duration as "2 h 5 min": the largest unit that fits and the next below it."""
    if seconds >= 2 * DAY:
        return f"{seconds / DAY:.0f} days"
    if seconds >= HOUR:
        hours, minutes = divmod(round(seconds / MINUTE), 60)
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if seconds >= MINUTE:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{seconds:.0f} s"


def window_name(seconds: float) -> str:
    """Return a window as "7d", for the name of a feature."""
    for size, sign in ((DAY, "d"), (HOUR, "h"), (MINUTE, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size:.0f}{sign}"
    return f"{seconds:g}s"


def window_words(seconds: float) -> str:
    """Return a window as "7 days", for a sentence."""
    for size, sign in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {sign}s" if count > 1 else sign
    return f"{seconds:g} seconds"


SHOWN: dict[Shape, Callable[[float], str]] = {
    Shape.PLAIN: number,
    Shape.COUNT: lambda value: f"{unlogged(value):,.0f}",
    Shape.DURATION: _since,
    Shape.RATIO: lambda value: f"{number(math.exp(min(value, STEEPEST)))} times",
    Shape.SCORE: lambda value: f"{math.sinh(max(min(value, STEEPEST), -STEEPEST)):.1f} standard deviations",
    Shape.SHARE: in_percent,
    Shape.FREQUENCY: lambda value: in_percent(math.expm1(value * math.log1p(PER)) / PER),
    Shape.HOUR: _clock,
    Shape.DAY_PART: lambda value: f"{value:.1f} h",
    Shape.DISTANCE: lambda value: f"{number(unlogged(value))} km",
    Shape.WEEKDAY: lambda value: WEEKDAYS[round(value) % 7],
}
"""Words for the value of each shape; the rest have no value that says more than the words, or need a scale."""
