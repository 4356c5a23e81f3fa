"""A detector's card, ``card.json``: what it is made of, what it learned from and how good it is.

A card may lack anything but the hashes that tie it to its files: what isn't there is ``None`` or empty, and keys that
aren't known here are left alone. What is there has the right type, or the card is damaged.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from screening.detectors.artifacts import Artefact, read_artefact
from screening.errors import BadArtefact, CellProblem
from screening.transactions.schema import ColumnContract

T = TypeVar("T")
QUANTILES = {"q01": 0.01, "q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95, "q99": 0.99}
MEASURES = ("average_precision", "auc", "recall_at_0_1_percent_fpr", "recall_at_1_percent_fpr")
GUESSING = 0.5
"""The AUC of a coin."""
Pairs = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """A distribution that was counted: how much of it lies between some edges."""

    edges: tuple[float, ...]
    """The highest value of each bin but the last, ascending."""
    shares: tuple[float, ...]
    """(edges + 1,), of the values that aren't blank."""
    rows: int | None = None
    """Number of rows that were counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnProfile:
    """Distribution of one column, or of one feature, in the training data."""

    minimum: float | None = None
    maximum: float | None = None
    quantiles: Mapping[str, float] = field(default_factory=dict)
    """By name, as in :data:`QUANTILES`."""
    deciles: tuple[float, ...] = ()
    """From the least value to the largest."""
    levels: Pairs | None = None
    """The most frequent texts as codes, each with its share; ``None`` for a column of numbers."""
    other: float | None = None
    """The share of all other texts."""
    missing: float | None = None
    """The share of blanks."""
    bins: Shares | None = None
    """Of a column of numbers, in cards since version 0.3."""
    whole: float | None = None
    """The share of numbers with nothing behind the decimal mark: amounts are learned in the unit that they are in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlaggedRows:
    """Quality of the flags of a test at one threshold."""

    threshold: float | None
    precision: float | None
    recall: float | None
    rows_flagged: int | None

    @property
    def hit_rate(self) -> float | None:
        """Return the share of fraud among the flagged rows; of no rows there is none."""
        return None if self.rows_flagged == 0 else self.precision


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Predicted and observed fraud of some rows: a share of fraud with its 95 % interval."""

    mean_probability: float
    observed: float
    low: float
    high: float
    rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FraudTypeShare:
    """One type of fraud: in the training data with its share of all frauds, in a test with the share that is found."""

    name: str
    rows: int | None
    share: float | None
    recall: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One test of a detector on rows that it was not trained on."""

    name: str | None
    kind: str | None
    """``time`` for later rows, ``stretches`` for other parts of the time, ``grouped`` for rows of nobody who was
    learned from, otherwise rows drawn at random."""
    rows: int | None
    frauds: int | None
    average_precision: float | None
    auc: float | None
    recall_at_0_1_percent_fpr: float | None
    recall_at_1_percent_fpr: float | None
    intervals: Mapping[str, tuple[float, float]]
    """95 % intervals of some measures, by their names above."""
    flagged: FlaggedRows | None
    reliability: tuple[ReliabilityBin, ...]
    precision_recall: Pairs
    """Points of recall and precision."""
    roc: Pairs
    """Points of false positive rate and recall."""
    fraud_types: tuple[FraudTypeShare, ...] = ()
    as_many: FlaggedRows | None = None
    """The flags at a threshold that flags about as many rows as there were frauds, where the usual one flags none."""
    caution: str | None = None
    """Reason why later rows will hardly keep its figures, where that is known."""
    scores: Shares | None = None
    """The probabilities that it gave, at the share of fraud that they are for; in cards since version 0.3."""

    @property
    def may_be_guessing(self) -> bool:
        """Return whether the AUC can't be told from 0.5, which is what guessing gives."""
        if "auc" in self.intervals:
            return self.intervals["auc"][0] <= GUESSING
        return self.auc is not None and self.auc <= GUESSING


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendPart:
    """A model that a detector is made of, in how many rounds, and what share of its logit it has."""

    model: str
    rounds: int | None
    weight: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The tests of a detector: windows of time, folds, or the one validation of a training."""

    windows: tuple[Evaluation, ...] = ()
    folds: Evaluation | None = None
    validation: Evaluation | None = None
    blend: tuple[BlendPart, ...] = ()
    """Parts of its blend, where that was chosen for its file."""

    @property
    def scores(self) -> Shares | None:
        """The probabilities of rows that it wasn't trained on: of the test that is nearest to its use."""
        tests = (self.validation, *reversed(self.windows), self.folds)
        return next((one.scores for one in tests if one is not None and one.scores is not None), None)

    @property
    def doubt(self) -> str:
        """Warning about a detector of which no test shows that it does better than guessing on later rows."""
        caution = None if self.validation is None else self.validation.caution
        tests = [one for one in (*self.windows, self.validation, self.folds) if one and one.may_be_guessing]
        if not tests or tests[0].auc is None:
            return caution or ""
        auc, interval = f"{tests[0].auc:.3f}", tests[0].intervals.get("auc")
        between = "" if interval is None else f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})"
        return f"No better than guessing, as far as its test shows: the AUC is {auc}{between}, and guessing gives 0.5."

    @property
    def silence(self) -> str:
        """Warning about a detector whose usual threshold flagged nothing in its test, with one that would."""
        test = self.validation
        if test is None or test.as_many is None or test.flagged is None or test.as_many.threshold is None:
            return ""
        found = test.as_many
        precision = "" if found.precision is None else f", {100 * found.precision:.0f} % of them fraud"
        return (
            f"Nothing in its test reached {test.flagged.threshold:g}: at that threshold it flags hardly anything. "
            f"At {found.threshold:.4g} it flags {found.rows_flagged:,} of {test.rows:,} rows{precision}."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Training data of a detector."""

    description: str | None = None
    credit: str | None = None
    source: str | None = None
    licence: str | None = None
    sha256: str | None = None
    rows: int | None = None
    frauds: int | None = None
    time_min: float | None = None
    time_max: float | None = None
    fraud_types: tuple[FraudTypeShare, ...] = ()
    """Types of fraud, if the label names several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something odd in a training file, how many rows have it, and what was done about it."""

    words: str | None
    rows: int | None
    done: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusedColumn:
    """A column that nothing was learned from, and why."""

    column: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaning:
    """Faults that were found in a training file before the training, and the treatment of each."""

    rows: int | None
    rows_learned_from: int | None
    findings: tuple[Finding, ...]
    unused: tuple[UnusedColumn, ...]
    unreadable: tuple[CellProblem, ...]
    """Cells that couldn't be read, the first few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """The whole card; everything but :attr:`raw` may be empty."""

    raw: Mapping[str, Any] = field(repr=False)
    """The JSON as it is in the file, for whoever shows or hands on all of it."""
    contract: Mapping[str, Any] | None
    fingerprint: str | None
    model_sha256: str | None
    vectorizer_sha256: str | None
    compiled_sha256: str | None
    """Of the compiled form that is shipped beside the net; no other one counts."""
    training_data: TrainingData
    prior: float | None
    """The share of fraud that the probabilities are for."""
    threshold: float | None
    metrics: Metrics
    columns: Mapping[str, ColumnProfile]
    """By the names of the contract's columns."""
    features: Mapping[str, ColumnProfile]
    """By the names of the net's inputs, where these are made of the columns."""
    libraries: Mapping[str, str]
    """Versions by name."""
    cleaning: Cleaning | None
    tokens: Mapping[str, str] = field(default_factory=dict)
    """The columns in which card numbers were replaced by tokens before anything was learned, each with the name of the
    key (:attr:`screening.cards.tokens.Tokens.key_id`)."""

    @classmethod
    def from_json(cls, given: Mapping[str, Any], where: Path = Path("card.json")) -> ModelCard:
        """Return the card that a JSON object holds.

        Raises:
            BadArtefact: a part has a wrong type; names the file and the key.
        """
        card = _Part(given, where)
        return cls(
            raw=given,
            contract=card.mapping("contract"),
            fingerprint=card.text("fingerprint"),
            model_sha256=card.text("model_sha256"),
            vectorizer_sha256=card.text("vectorizer_sha256"),
            compiled_sha256=card.text("compiled_sha256"),
            training_data=training_data_of(card.part("training_data") or _Part({}, where)),
            prior=card.number("prior"),
            threshold=card.number("threshold"),
            metrics=metrics_of(card.part("metrics") or _Part({}, where)),
            columns=card.parts_by_name("columns", profile_of),
            features=card.parts_by_name("features", profile_of),
            libraries=card.texts("libraries"),
            cleaning=cleaning_of(part) if (part := card.part("cleaning")) else None,
            tokens=card.texts("tokens"),
        )


def read_card(path: Path) -> ModelCard:
    """Read the card of a detector.

    Raises:
        BadArtefact: it is missing, is no JSON object, or a part of it has a wrong type.
    """
    artefact = read_artefact(path)
    try:
        found = json.loads(artefact.data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadArtefact(f"{path.name} is damaged: it holds no JSON object.", where=str(path))
    return ModelCard.from_json(found, path)


def check_hashes(card: ModelCard, model: Artefact, vectorizer: Artefact) -> None:
    """Compare both files with the hashes of the card, before either is opened.

    Raises:
        BadArtefact: a file isn't the one that the card describes; one flipped bit is enough.
    """
    for artefact, known in ((model, card.model_sha256), (vectorizer, card.vectorizer_sha256)):
        if known != artefact.sha256:
            raise BadArtefact(
                f"{artefact.path.name} isn't the file that its card describes: its SHA-256 begins with "
                f"{artefact.sha256[:12]}, the card says {str(known)[:12]}.",
                where=str(artefact.path),
                remedy="Restore the model, the vectorizer and the card together from one training run.",
            )


def check_contract(card: ModelCard, found: ColumnContract, expected: str, where: Path) -> None:
    """Compare the vectorizer's columns and the fingerprint with the card.

    Raises:
        BadArtefact: the columns, their order or their parts differ, or the fingerprint does.
    """
    if card.contract != found.as_dict() or card.fingerprint != expected:
        raise BadArtefact(
            "The card and the vectorizer don't belong together: their columns or fingerprints differ.",
            where=str(where),
            remedy="Restore the model, the vectorizer and the card together from one training run.",
        )


class _Part:
    """An object of a card, whose parts are of the right type, ``None``, or a :class:`BadArtefact`."""

    def __init__(self, given: Mapping[str, Any], where: Path, path: tuple[str, ...] = ()) -> None:
        self._given, self._where, self._path = given, where, path

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def _wrong(self, key: str, what: str) -> BadArtefact:
        name = ".".join((*self._path, key))
        return BadArtefact(
            f"{self._where.name} is damaged: {name} is not {what}.",
            where=str(self._where),
            remedy="Restore the model, the vectorizer and the card together from one training run.",
        )

    def mapping(self, key: str) -> Mapping[str, Any] | None:
        """Return an object as it is."""
        found = self._given.get(key)
        if found is not None and not isinstance(found, Mapping):
            raise self._wrong(key, "an object")
        return found

    def part(self, key: str) -> _Part | None:
        """Return an object to be read further; ``None`` for an empty one too."""
        found = self.mapping(key)
        return _Part(found, self._where, (*self._path, key)) if found else None

    def parts(self, key: str, read: Callable[[_Part], T]) -> tuple[T, ...]:
        """Return what ``read`` makes of each object of a list."""
        found = []
        for place, one in enumerate(self._list(key)):
            name = f"{key}[{place}]"
            if not isinstance(one, Mapping):
                raise self._wrong(name, "an object")
            found.append(read(_Part(one, self._where, (*self._path, name))))
        return tuple(found)

    def parts_by_name(self, key: str, read: Callable[[_Part], T]) -> dict[str, T]:
        """Return what ``read`` makes of each object of an object; of an empty one nothing."""
        inner = self.part(key)
        found: dict[str, T] = {}
        if inner is None:
            return found
        for name in inner:
            part = inner.part(name)
            if part is not None:
                found[name] = read(part)
        return found

    def text(self, key: str) -> str | None:
        """Return a text."""
        found = self._given.get(key)
        if found is not None and not isinstance(found, str):
            raise self._wrong(key, "text")
        return found

    def texts(self, key: str) -> dict[str, str]:
        """Return an object of texts, without those that are ``None``."""
        inner = self.part(key)
        found = {} if inner is None else {name: inner.text(name) for name in inner}
        return {name: text for name, text in found.items() if text is not None}

    def number(self, key: str) -> float | None:
        """Return a finite number; a whole one stays whole."""
        found = self._given.get(key)
        return None if found is None else self._number(key, found)

    def count(self, key: str) -> int | None:
        """Return a whole number."""
        found = self._given.get(key)
        if found is not None and (isinstance(found, bool) or not isinstance(found, int)):
            raise self._wrong(key, "a whole number")
        return found

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return a list of finite numbers."""
        return tuple(self._number(f"{key}[{place}]", one) for place, one in enumerate(self._list(key)))

    def pair(self, key: str) -> tuple[float, float] | None:
        """Return a list of two finite numbers."""
        found = self.numbers(key)
        if found and len(found) != 2:
            raise self._wrong(key, "a pair of numbers")
        return (found[0], found[1]) if found else None

    def pairs(self, key: str) -> Pairs | None:
        """Return a list of pairs of finite numbers."""
        if self._given.get(key) is None:
            return None
        named = {f"{key}[{place}]": one for place, one in enumerate(self._list(key))}
        inner = _Part(named, self._where, self._path)
        found = []
        for name in inner:
            pair = inner.pair(name)
            if pair is None:
                raise self._wrong(name, "a pair of numbers")
            found.append(pair)
        return tuple(found)

    def shares(self, key: str) -> Shares | None:
        """Return a distribution; ``None`` where there is none."""
        inner = self.part(key)
        if inner is None:
            return None
        edges, shares = inner.numbers("edges"), inner.numbers("shares")
        ascending = all(low < high for low, high in pairwise(edges))
        if not ascending or len(shares) != len(edges) + 1 or min(shares) < 0 or not 0.99 < sum(shares) < 1.01:
            raise self._wrong(key, "a distribution: ascending edges, and a share for each bin between them")
        return Shares(edges=edges, shares=shares, rows=inner.count("rows"))

    def _list(self, key: str) -> list[Any]:
        found = self._given.get(key)
        if found is not None and not isinstance(found, list):
            raise self._wrong(key, "a list")
        return found or []

    def _number(self, key: str, found: object) -> float:
        if isinstance(found, bool) or not isinstance(found, (int, float)) or not math.isfinite(found):
            raise self._wrong(key, "a finite number")
        return found


def profile_of(part: _Part) -> ColumnProfile:
    """Return what a card tells of a column's values."""
    quantiles = {name: part.number(name) for name in QUANTILES}
    return ColumnProfile(
        minimum=part.number("min"),
        maximum=part.number("max"),
        quantiles={name: value for name, value in quantiles.items() if value is not None},
        deciles=part.numbers("deciles"),
        levels=part.pairs("levels"),
        other=part.number("other"),
        missing=part.number("missing"),
        bins=part.shares("bins"),
        whole=part.number("whole"),
    )


def training_data_of(part: _Part) -> TrainingData:
    """Return what a card tells of the training data."""
    return TrainingData(
        description=part.text("description"),
        credit=part.text("credit"),
        source=part.text("source"),
        licence=part.text("licence"),
        sha256=part.text("sha256"),
        rows=part.count("rows"),
        frauds=part.count("frauds"),
        time_min=part.number("time_min"),
        time_max=part.number("time_max"),
        fraud_types=part.parts("fraud_types", fraud_type_of),
    )


def fraud_type_of(part: _Part) -> FraudTypeShare:
    """Return a kind of fraud as a card tells it."""
    return FraudTypeShare(
        name=part.text("name") or "",
        rows=part.count("rows"),
        share=part.number("share"),
        recall=part.number("recall"),
    )


def metrics_of(part: _Part) -> Metrics:
    """Return what a card tells of the tests."""
    folds, validation = part.part("folds"), part.part("validation")
    return Metrics(
        windows=part.parts("windows", evaluation_of),
        folds=None if folds is None else evaluation_of(folds),
        validation=None if validation is None else evaluation_of(validation),
        blend=part.parts("blend", blend_part_of),
    )


def blend_part_of(part: _Part) -> BlendPart:
    """Return a part of a blend as a card tells it."""
    return BlendPart(
        model=part.text("model") or "", rounds=part.count("rounds"), weight=part.number("weight")
    )


def evaluation_of(part: _Part) -> Evaluation:
    """Return a test as a card tells it."""
    intervals, flagged, curves = part.part("interval_95"), part.part("flagged"), part.part("curves")
    as_many = part.part("as_many")
    bounds = {name: intervals.pair(name) for name in MEASURES} if intervals else {}
    return Evaluation(
        name=part.text("name"),
        kind=part.text("kind"),
        rows=part.count("rows"),
        frauds=part.count("frauds"),
        average_precision=part.number("average_precision"),
        auc=part.number("auc"),
        recall_at_0_1_percent_fpr=part.number("recall_at_0_1_percent_fpr"),
        recall_at_1_percent_fpr=part.number("recall_at_1_percent_fpr"),
        intervals={name: pair for name, pair in bounds.items() if pair},
        flagged=None if flagged is None else flagged_rows_of(flagged),
        as_many=None if as_many is None else flagged_rows_of(as_many),
        caution=part.text("caution"),
        reliability=tuple(one for one in part.parts("reliability", reliability_bin_of) if one),
        precision_recall=(curves and curves.pairs("precision_recall")) or (),
        roc=(curves and curves.pairs("roc")) or (),
        fraud_types=part.parts("fraud_types", fraud_type_of),
        scores=part.shares("scores"),
    )


def flagged_rows_of(part: _Part) -> FlaggedRows:
    """Return the flagged rows of a test as a card tells them."""
    return FlaggedRows(
        threshold=part.number("threshold"),
        precision=part.number("precision"),
        recall=part.number("recall"),
        rows_flagged=part.count("rows_flagged"),
    )


def reliability_bin_of(part: _Part) -> ReliabilityBin | None:
    """Read a bin; one that lacks a part can't be drawn and is left out."""
    said, seen, low, high = (part.number(name) for name in ("mean_probability", "observed", "low", "high"))
    if said is None or seen is None or low is None or high is None:
        return None
    return ReliabilityBin(mean_probability=said, observed=seen, low=low, high=high, rows=part.count("rows"))


def cleaning_of(part: _Part) -> Cleaning:
    """Return what a training cleaned, as a card tells it."""
    return Cleaning(
        rows=part.count("rows"),
        rows_learned_from=part.count("rows_learned_from"),
        findings=part.parts(
            "findings",
            lambda one: Finding(words=one.text("words"), rows=one.count("rows"), done=one.text("done")),
        ),
        unused=part.parts(
            "unused", lambda one: UnusedColumn(column=one.text("column"), reason=one.text("reason"))
        ),
        unreadable=part.parts(
            "unreadable",
            lambda one: CellProblem(
                one.text("problem") or "",
                column=one.text("column"),
                row=one.count("row"),
                line=one.count("line"),
                value=one.text("value"),
            ),
        ),
    )
