"""Says what a feature of a transaction is, in one sentence, beside what is usual: for an analyst, without statistics.

A value inside the usual range says nothing by itself, and has no sentence. A range has two different ends, as they are
written; where they are the same, one is named.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from screening.columns.display_names import display_names
from screening.features import Definition, Feature
from screening.features.definitions.feature import DAY, HOUR, MINUTE, Shape, duration

FAR = 3.0
"""Widths of the usual range beyond which a value is called far off."""
HISTORY = frozenset(("against mean", "against median", "against max", "score", "high", "last high"))
FRAUDS = frozenset(
    (
        "frauds",
        "share",
        "fraud",
        "first fraud",
        "first ever",
        "good",
        "least fraud",
        "run",
        "in a row",
        "known good",
    )
)
LAST = frozenset(("last", "new"))
STATISTICS = {"mean": "mean", "median": "median", "max": "largest", "sum": "total"}


@dataclass(frozen=True, slots=True)
class FeatureValue:
    """A feature's value in one row, beside the usual ones."""

    feature: Feature
    value: float
    low: float
    high: float
    amount: float | None
    """The row's own amount, where there is one."""
    money: bool = False
    """Whether the feature is the amount as it is."""

    @property
    def inside(self) -> bool:
        """Return whether the value says nothing: a usual one, or a yes or no that is no."""
        if self.feature.shape is Shape.CYCLE:
            return True  # its hour says it
        if self.feature.shape is Shape.FLAG:
            return self.value == 0
        if self.feature.is_never(self.value):
            return self.feature.is_never(self.high)
        return self.low <= self.value <= self.high

    @property
    def shown(self) -> str:
        """The value in words."""
        return self.in_words(self.value)

    @property
    def usual(self) -> str:
        """Usual values in words: ``usually 2 to 5``, ``usually 2``, ``usually none``."""
        low, high = self.in_words(self.low), self.in_words(self.high)
        if self.feature.shape is Shape.COUNT and high == "0":
            return "usually none"
        return f"usually {low}" if low == high else f"usually {low} to {high}"

    def in_words(self, value: float) -> str:
        """Return a value of the feature with its unit."""
        if self.feature.shape is Shape.AMOUNT or self.feature.key[0] in (
            "log",
            "sum",
            "mean",
            "median",
            "max",
        ):
            # the feature is a signed logarithm
            size = math.copysign(math.expm1(min(abs(value), 80.0)), value)
            return two_decimals(size * self.feature.scale)
        if self.money:
            return two_decimals(value).replace("-", "−")
        if self.feature.shape is Shape.DURATION and self.feature.is_never(value):
            return "never"
        return self.feature.show(value) or ""


class Sentences:
    """Makes the sentences of one detector's features."""

    def __init__(self, definition: Definition) -> None:
        self.features = definition.features
        amount = ("plain", definition.contract.amount)
        self.amount_place = next((at for at, one in enumerate(self.features) if one.key == amount), None)
        """Place of the input that is the amount as it is."""
        self._names = display_names(definition.contract)
        self._amount = definition.contract.amount
        self._makers: Mapping[str, Callable[[FeatureValue], str]] = {
            **dict.fromkeys(("log", "plain"), self._plain),
            **dict.fromkeys(("against mean", "against median", "against max"), self._against),
            **dict.fromkeys(STATISTICS, self._statistic),
            **dict.fromkeys(("last", "new"), self._last),
            "score": self._score,
            "count": self._count,
            "distinct": self._distinct,
            "level": self._level,
            "frequency": self._frequency,
            "since": self._since,
            "just": lambda said: (
                f"{self.name(said.feature.columns[0])} is less than an hour before the transaction"
            ),
        }

    def family(self, feature: Feature) -> tuple[str, ...]:
        """Return what features have in common that say one thing: of them the strongest is enough."""
        statistic, *columns = feature.key
        entity = columns[0] if columns else ""
        for name, kinds in (("history", HISTORY), ("frauds", FRAUDS)):
            if statistic in kinds:
                return name, entity
        if statistic in LAST:
            return "last", *feature.columns
        if statistic in ("log", "plain") and feature.columns == (self._amount,):
            return ("amount",)
        if statistic in ("count", "distinct", *STATISTICS):
            return statistic, *feature.columns
        return feature.topic or feature.name, ""

    def of(self, said: FeatureValue) -> str:
        """Return the sentence; the value must not be a usual one."""
        statistic = said.feature.key[0]
        if said.feature.is_never(said.value) and statistic != "last":
            return sentence(self._spoken(said.feature.never))
        make = self._makers.get(statistic, self._other)
        return sentence(make(said))

    def name(self, column: str) -> str:
        """Return what a column is called in the middle of a sentence."""
        return self._names.get(column, column)

    def _spoken(self, words: str) -> str:
        """Put what columns are called into words that name them as the file does, the longest names first."""
        for column in sorted(self._names, key=len, reverse=True):
            words = words.replace(column, self._names[column])
        return words

    def _plain(self, said: FeatureValue) -> str:
        if said.feature.columns[0] == self._amount:
            said = replace(said, money=True)
        return f"{self.name(said.feature.columns[0])} {said.shown}, {_side(said)}"

    def _against(self, said: FeatureValue) -> str:
        statistic, name, window = (
            said.feature.key[0].split()[-1],
            said.feature.key[1],
            float(said.feature.key[2]),
        )
        times = math.exp(min(said.value, 80.0))  # beyond it nobody cares
        whose = f"this {self.name(name)}'s {window_of(window)} {STATISTICS[statistic]}"
        if said.amount is None or times <= 0:
            return f"the amount is {times_of(times)} × {whose}"
        usual = said.amount / times
        return f"amount {said.amount:,.2f} is {times_of(times)} × {whose} ({usual:,.2f})"

    def _score(self, said: FeatureValue) -> str:
        name, window = said.feature.key[1], float(said.feature.key[2])
        shown = f"amount {said.amount:,.2f}" if said.amount is not None else "the amount"
        distance = said.shown.lstrip("-−")
        side = "above" if said.value > 0 else "below"
        return f"{shown} is {distance} {side} this {self.name(name)}'s {window_of(window)} mean"

    def _statistic(self, said: FeatureValue) -> str:
        statistic, name, window = said.feature.key
        of = f"{STATISTICS[statistic]} amount of the {last(float(window))}"
        return f"this {self.name(name)}'s {of} is {said.shown}; {said.usual}"

    def _count(self, said: FeatureValue) -> str:
        name, window = said.feature.key[1], float(said.feature.key[2])
        return f"{plural(said.shown, 'transaction')} with this {self.name(name)} in the {last(window)}; {said.usual}"

    def _distinct(self, said: FeatureValue) -> str:
        name, partner, window = said.feature.key[1:]
        what = plural(said.shown, self.name(partner))
        return f"{what} seen with this {self.name(name)} in the {last(float(window))}; {said.usual}"

    def _last(self, said: FeatureValue) -> str:
        these = " and ".join(f"this {self.name(column)}" for column in said.feature.columns)
        many = len(said.feature.columns) > 1
        if said.feature.shape is Shape.FLAG or said.feature.is_never(said.value):
            seen = f"{'have' if many else 'has'} never been seen{' together' if many else ''}"
            memory = f" in {window_words(said.feature.memory)}" if math.isfinite(said.feature.memory) else ""
            return f"{these} {seen} before{memory}"
        seen = "were last seen together" if many else "was last seen"
        return f"{these} {seen} {said.shown} ago; {_ago(said)}"

    def _level(self, said: FeatureValue) -> str:
        words = said.feature.words
        if " is " in words and "this value" not in words:  # a country
            return self._spoken(words)
        return f"this {self.name(said.feature.columns[0])} speaks for fraud by itself"

    def _frequency(self, said: FeatureValue) -> str:
        return f"this {self.name(said.feature.columns[0])} appears in {said.shown} of the training data; {said.usual}"

    def _other(self, said: FeatureValue) -> str:
        words = self._spoken(said.feature.words)
        return words if said.feature.show(said.value) is None else f"{words} is {said.shown}; {said.usual}"

    def _since(self, said: FeatureValue) -> str:
        return f"{self.name(said.feature.columns[0])} is {said.shown} before; {said.usual}"


def two_decimals(value: float) -> str:
    """Return an amount with two decimals; what rounds to zero has no sign: ``-0.00`` beside ``0.00`` is no range."""
    return f"{round(value, 2) + 0.0:,.2f}"


def window_of(seconds: float) -> str:
    """Say the window as "30-day", before a noun."""
    for size, sign in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size:.0f}-{sign}"
    return f"{seconds:g}-second"


def window_words(seconds: float) -> str:
    """Say the window as "90 days"."""
    return duration(seconds) if seconds < 2 * DAY else f"{seconds / DAY:.0f} days"


def last(seconds: float) -> str:
    """Say the window as "last hour" or "last 7 days"."""
    for size, sign in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"last {sign}" if count == 1 else f"last {count} {sign}s"
    return f"last {seconds:g} seconds"


def times_of(ratio: float) -> str:
    """Return a ratio with as many digits as say something."""
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.1f}" if ratio >= 0.1 else f"{ratio:.2g}"


def plural(count: str, one: str) -> str:
    """Return a count with its noun, in the plural but for one."""
    return f"{count} {one}" if count == "1" else f"{count} {one}{'es' if one.endswith(('s', 'x')) else 's'}"


def _side(said: FeatureValue) -> str:
    """Say the side as "far above the usual 2 to 5"."""
    width = max(said.high - said.low, 1e-12)
    distance = (said.low - said.value if said.value < said.low else said.value - said.high) / width
    word = "below" if said.value < said.low else "above"
    low_to_high = said.usual.removeprefix("usually ")
    return f"{'far ' if distance > FAR else ''}{word} the usual {low_to_high}"


def _ago(said: FeatureValue) -> str:
    low, high = said.in_words(said.low), said.in_words(said.high)
    if low == high:
        return "usually never before" if low == "never" else f"usually {low} ago"
    return f"usually {low} ago to {'never' if high == 'never' else f'{high} ago'}"


def sentence(text: str) -> str:
    """Return a text with a capital at its beginning."""
    return text[:1].upper() + text[1:]
