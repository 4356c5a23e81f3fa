"""Facts about a detector's transactions at the time of the decision, under the names by which rules speak of it.

The same facts are known of a row of a file, of a transaction of the API, and of a row of the ledger: there they are
kept as they were then, so that a rule that is tried on the past sees what it would have seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.features.definitions.feature import STEEPEST, Feature, Shape
from screening.ledger import fields, money
from screening.rules.language.tree import Fact, Type
from screening.rules.language.vocabulary import Vocabulary
from screening.transactions.schema import WORDED, CellKind, Column, Role, Transactions, normalise

Floats = NDArray[np.float64]
AMOUNT, PROBABILITY, HOUR, WEEKDAY = "amount", "probability", "hour", "weekday"
ADDRESS_COUNTRY = "t:address country"
"""Country of the address, whatever the transaction says of its country."""
WORDS = {
    "customer": "the customer",
    "card": "the card",
    "account": "the account",
    "merchant": "the merchant",
    "terminal": "the terminal",
    "device": "the device",
    "address": "the IP address",
    "country": "the country of the transaction: its own column, or where its address is",
    "browser": "the browser",
    "channel": "the channel it came through",
    "currency": "the currency, as three letters",
}
# Fields of the ledger that rules can ask for. The type of fraud isn't among them: it is known only
# afterwards.
TEXTS = tuple(name for name in fields.FIELDS if name in WORDS)
COMMON: tuple[Fact, ...] = (
    Fact(AMOUNT, Type.NUMBER, AMOUNT, "the amount, as it is written"),
    Fact(PROBABILITY, Type.NUMBER, PROBABILITY, "the net's probability of fraud, 0 to 1"),
    Fact(HOUR, Type.NUMBER, HOUR, "the hour of the transaction, 0 to 23 (UTC)"),
    Fact(WEEKDAY, Type.NUMBER, WEEKDAY, "the day of the week, 1 for Monday to 7 (UTC)"),
    *(Fact(name, Type.TEXT, name, WORDS[name], entity=name) for name in TEXTS),
    Fact(
        "address_country",
        Type.TEXT,
        ADDRESS_COUNTRY,
        "the country where the IP address is, as far as there is a table of addresses",
        entity="country",
    ),
)
"""Facts about every detector's transactions."""
# First parts of the keys of features that rules can ask for: those that a person reads without a formula.
STATISTICS = frozenset(
    {"last", "new", "count", "sum", "distinct", "frauds", "against mean", "just", "distance", "since"}
)
# A detector with no more columns of its own has all of them kept in the ledger; of one with more, only those
# that a rule names.
FEW_COLUMNS = 16
OPENED = frozenset({Shape.COUNT, Shape.DURATION, Shape.AMOUNT, Shape.RATIO, Shape.DISTANCE})
"""The shapes that are logarithms."""
# In 32 bits a duration may be so much shorter than all that is remembered, and still mean "never".
NEVER = 1e-4
# A feature is a 32-bit logarithm, which is good for so many digits of the quantity behind it.
DIGITS = 6
TINY, HUGE, FARTHEST = 1e-100, 1e100, 110
"""Bounds: values beyond them stay as they are."""
UP = np.power(10.0, np.maximum(np.arange(-FARTHEST, FARTHEST + 1), 0))
# Powers of ten that move the point by -110 to 110 places. They are tables since computing them takes longer
# than all the rest.
DOWN = np.power(10.0, np.maximum(np.arange(FARTHEST, -FARTHEST - 1, -1), 0))
HOUR_MICROSECONDS = 3_600_000_000


@dataclass(frozen=True, slots=True)
class _Column:
    """A number of the contract."""

    name: str


@dataclass(frozen=True, slots=True)
class _Since:
    """Seconds from another moment to the transaction."""

    time: str
    moment: str


Source = _Column | _Since | Feature


@dataclass(frozen=True)
class KnownFacts:
    """The facts of one detector's transactions."""

    name: str
    """The detector's."""
    facts: tuple[Fact, ...]
    """In all their spellings."""
    numbers: Mapping[str, Source]
    """By key, where each is found but what is :data:`COMMON`."""
    texts: Mapping[str, str]
    """By key, the columns of the contract whose cells are texts that are no field of the ledger."""
    places: Mapping[str, int]
    """Of features among the net's inputs, by key."""
    usual: frozenset[str] = frozenset()
    """Names that the ledger keeps whether a rule uses them or not."""

    @classmethod
    def of(cls, detector: Detector) -> KnownFacts:
        """Return those of a detector."""
        return _known(_Hashed(detector))

    def vocabulary(self, lists: Mapping[str, str]) -> Vocabulary:
        """Return what rules for this detector can speak of.

        Args:
            lists: the kinds of the lists, by name.
        """
        return Vocabulary.of(self.facts, lists, f"{self.name}'s transactions")

    @property
    def listed(self) -> tuple[Fact, ...]:
        """The facts, each once, in its first spelling."""
        return tuple({fact.key: fact for fact in reversed(self.facts)}.values())[::-1]

    def kept(self, named: Collection[str]) -> list[str]:
        """Return the keys that are kept in the ledger, sorted.

        Args:
            named: what rules ask for.
        """
        mine = self.numbers.keys() | self.texts.keys()
        return sorted((self.usual | frozenset(named)) & mine)

    def inputs(self, keys: Iterable[str]) -> list[str]:
        """Return those of some keys that are features, in the order in which they are kept while a file is scored."""
        return [key for key in keys if key in self.places]

    def quantities(self, keys: Sequence[str]) -> Quantities:
        """Return what turns the features of these keys into what they stand for."""
        return Quantities(
            [source for source in map(self.numbers.__getitem__, keys) if isinstance(source, Feature)]
        )

    def column(self, key: str, rows: Transactions) -> Floats:
        """Return the numbers of a column or a span of time, float64 (rows,), NaN where one is missing.

        Args:
            key: of :attr:`numbers`, no feature's.
            rows: as the detector reads them.
        """
        source = self.numbers[key]
        if isinstance(source, _Since):
            return _finite(rows.column(source.time) - rows.column(source.moment))
        if isinstance(source, _Column):
            return _finite(rows.column(source.name).astype(np.float64))
        raise ValueError(f"{key} is a feature")


def _finite(values: Floats) -> Floats:
    values[~np.isfinite(values)] = np.nan
    return values


def common_vocabulary(lists: Mapping[str, str]) -> Vocabulary:
    """Return what rules for all detectors can speak of."""
    return Vocabulary.of(COMMON, lists, "every detector's transactions")


class Quantities:
    """Turns features as a net has them into what they stand for, all at once.

    Counts are whole; what else was a logarithm has as many digits as that is good for.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        """``features`` are those of the columns, in order."""
        shapes = [feature.shape for feature in features]
        self._counts = np.array([shape is Shape.COUNT for shape in shapes])
        self._ratios = np.array([shape is Shape.RATIO for shape in shapes])
        self._plain = np.array([shape not in OPENED for shape in shapes])
        self._scale = np.array(
            [feature.scale if feature.shape is Shape.AMOUNT else 1.0 for feature in features]
        )
        self._never = np.array(
            [feature.memory * (1 - NEVER) if feature.never else np.inf for feature in features]
        )

    def of(self, values: NDArray[Any]) -> Floats:
        """Return what values stand for, float64 of the same shape (rows, features), NaN where that is "never"."""
        logged = np.asarray(values, np.float64)
        bounded = np.minimum(np.abs(logged), STEEPEST)
        opened = np.copysign(np.expm1(bounded), logged) * self._scale
        if self._ratios.any():
            opened[:, self._ratios] = np.exp(np.minimum(logged[:, self._ratios], STEEPEST))
        opened[:, self._plain] = logged[:, self._plain]
        opened[opened >= self._never] = np.nan
        return np.where(self._counts, np.rint(opened), rounded(opened))


def rounded(values: Floats) -> Floats:
    """Return numbers with :data:`DIGITS` digits, each the float64 that is nearest to its decimal."""
    size = np.abs(values)
    there = (size > TINY) & (size < HUGE)
    kept = np.where(there, values, 1.0)
    at = (FARTHEST + DIGITS - 1 - np.floor(np.log10(np.abs(kept)))).astype(np.intp)
    up, down = UP[at], DOWN[at]
    return np.where(there, np.rint(kept / down * up) / up * down, values)


def amount_of(units: int | None, currency: str | None) -> float | None:
    """Return an amount of the ledger as people write it."""
    return None if units is None else units / 10.0 ** money.exponent(currency)


def _amount_sql() -> str:
    by: dict[int, list[str]] = {}
    for code, digits in money.EXPONENTS.items():
        by.setdefault(digits, []).append(f"'{code}'")
    odd = " ".join(
        f"WHEN currency IN ({', '.join(codes)}) THEN {10.0**digits}::DOUBLE" for digits, codes in by.items()
    )
    usual = f"{10.0**money.USUAL}::DOUBLE"
    return f"(amount::DOUBLE / CASE WHEN currency IS NULL THEN {usual} {odd} ELSE {usual} END)"


WRITTEN = {
    AMOUNT: _amount_sql(),
    PROBABILITY: "probability::DOUBLE",
    HOUR: "hour(event_time)::DOUBLE",
    WEEKDAY: "isodow(event_time)::DOUBLE",
}
"""SQL of the facts that a row of the ledger has in another form."""


def clock(microseconds: int | None) -> tuple[float | None, float | None]:
    """Return hour and day of the week of a time of the ledger."""
    if microseconds is None:
        return None, None
    hours = microseconds // HOUR_MICROSECONDS
    return float(hours % 24), float((hours // 24 + 3) % 7 + 1)  # 1970 began on a Thursday


class _Hashed:
    """A detector as a key: by what it is made of."""

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self._key = (detector.name, detector.fingerprint)

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashed) and self._key == other._key


@lru_cache(maxsize=64)
def _known(hashed: _Hashed) -> KnownFacts:
    detector = hashed.detector
    contract = detector.contract
    parts = contract.parts()
    called = {parts[place].name: field_ for field_, place in fields.assign(contract.columns, parts).items()}
    facts: list[Fact] = list(COMMON)
    numbers: dict[str, Source] = {}
    texts: dict[str, str] = {}
    for part in parts:
        facts += _of_column(part, called=called, time=contract.time, numbers=numbers, texts=texts)
    features: dict[str, Feature] = {}
    where: dict[str, int] = {}
    definition = detector.vectorizer.definition
    for place, feature in enumerate(() if definition is None else definition.features):
        # a feature of another moment is left out: the columns tell that moment to the second
        if feature.key[0] not in STATISTICS or feature.shape is Shape.CYCLE or feature.key[0] == "since":
            continue
        key = f"n:{spelling_of(feature, called)}"
        kind = _kind(feature)
        for name in dict.fromkeys((spelling_of(feature, called), spelling_of(feature, {}))):
            facts.append(Fact(name, kind, key, feature.words))
        numbers[key] = features[key] = feature
        where[key] = place
    own = len(numbers) - len(features) + len(texts)
    usual = frozenset(features) | (frozenset({*numbers, *texts}) if own <= FEW_COLUMNS else frozenset())
    return KnownFacts(detector.name, tuple(facts), numbers, texts, where, usual)


def _of_column(
    part: Column,
    *,
    called: Mapping[str, str],
    time: str | None,
    numbers: dict[str, Source],
    texts: dict[str, str],
) -> Iterator[Fact]:
    known = {fact.name: fact for fact in COMMON}
    name = part.name
    alias = AMOUNT if part.role is Role.AMOUNT else called.get(name)
    if alias in known:
        fact = known[alias]
        yield Fact(name, fact.type, fact.key, fact.words, fact.entity)
    elif part.kind is CellKind.NUMBER:
        key = f"n:{normalise(name)}"
        numbers[key] = _Column(name)
        yield Fact(name, Type.NUMBER, key, f"the column {name}")
    elif part.role is Role.MOMENT and time is not None:
        key = f"n:since({normalise(name)})"
        numbers[key] = _Since(time, name)
        yield Fact(f"since({name})", Type.SECONDS, key, f"the time from {name} to the transaction")
    elif part.kind in WORDED:
        key = f"t:{normalise(name)}"
        texts[key] = name
        yield Fact(name, Type.TEXT, key, f"the column {name}")


def _kind(feature: Feature) -> Type:
    if feature.shape is Shape.FLAG:
        return Type.FLAG
    return Type.SECONDS if feature.shape is Shape.DURATION else Type.NUMBER


def spelling_of(feature: Feature, called: Mapping[str, str]) -> str:
    """Return a feature's name as rules write it: ``against_mean(customer, 7d)``."""
    statistic, _, rest = feature.name.partition("(")
    inner = rest.removesuffix("'").removesuffix(")")
    window = "" if inner == ", ".join(feature.columns) else inner.rpartition(", ")[2]
    names = [normalise(called.get(column, column)) for column in feature.columns]
    return f"{statistic.strip().replace(' ', '_')}({', '.join([*names, window] if window else names)})"
