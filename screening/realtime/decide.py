"""Decides on transactions of a program: scores them, keeps each decision in the ledger, and answers.

Every way in calls :func:`decide`: the same transactions get the same answers.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from screening.detectors.detector import Detector
from screening.detectors.vectorizer import Seen
from screening.errors import ScreeningError
from screening.features.countries.addresses import AddressCountries
from screening.ledger import identity
from screening.ledger.ledger import Ledger
from screening.ledger.tables import API
from screening.ledger.tail import Entry, Repeatable
from screening.ledger.velocity.entries import Overtaken, VelocityEntry
from screening.ledger.velocity.live_past import LivePast
from screening.realtime.answers import Decision, Decisions
from screening.realtime.entries import Labels, columns_of, labels_of
from screening.rules.live import decide as ask_rules
from screening.rules.ruleset import RuleSet, Verdict
from screening.scoring.score import Probabilities, Scored, own_probabilities, score
from screening.transactions.json_records import from_mappings
from screening.transactions.schema import Transactions

_json = msgspec.json.Encoder().encode
MOST_TOGETHER = 16
"""A request with more rows than this gains nothing by being scored together with others."""
MOST_ATTEMPTS, MOST_TOGETHER_ATTEMPTS = 40, 4
"""So often requests are scored again that others overtake, and so often together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks for a decision."""

    owner: str
    """The account, in small letters."""
    key: str | None = None
    """The id of the API key, where one was shown."""
    request: str | None = None
    """The number of the request."""
    shared: bool = False
    """Whether its transactions count as everybody's past, as a manager's do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request: what is to be decided, by what, and for whom."""

    transactions: Sequence[Mapping[str, Any]]
    single: bool
    """Whether the answer is one object, and not a list of them."""
    detector: Detector
    """What scores."""
    history: Seen
    """Earlier rows, for features that look back."""
    caller: Caller
    notes: Sequence[str] = ()
    """What each answer says of the detector."""
    shadowed: tuple[str, ...] = ()
    """Columns that the ledger keeps of the transactions beside its own, for a detector in its shadow."""
    countries: AddressCountries | None = None
    """Of which country addresses are, for transactions that bring none."""
    repeatable: Repeatable | None = None
    """Under which key the request may be sent again."""
    rules: RuleSet | None = None
    """What has a say beside the net; ``None`` where there is no rule."""

    @property
    def live(self) -> LivePast | None:
        """What its rows look back on and are added to, if its detector looks back."""
        return self.history.past if isinstance(self.history.past, LivePast) else None


IN_WORK = (
    "What was asked before is still being read from the ledger: earlier transactions may be missing from this "
    "probability."
)
Answer = bytes | Exception
"""JSON, or why there is none."""


class Busy(ScreeningError):
    """Others were faster, again and again."""

    status = 503
    title = "Too many transactions of one entity at once"

    @classmethod
    def now(cls) -> Busy:
        """Return what a request is told that was overtaken too often."""
        return cls(
            "Other transactions of the same card, account or terminal came in faster than this one could be scored.",
            remedy="Send it again; nothing was kept of it.",
        )


def decide(
    questions: Sequence[Question],
    ledger: Ledger,
    *,
    threshold: float,
    probabilities: Probabilities = own_probabilities,
) -> list[Answer]:
    """Score the transactions of some requests, keep the decisions, and return the answers; they are kept when this
    returns.

    Requests that are decided together share the calls of the net and the commit. Where a detector looks back, they are
    decided as if they had come in the order of their transactions' times; where another process kept a row meanwhile
    that counts for one of them, it is scored again.

    Args:
        questions: the requests.
        ledger: where the decisions are kept.
        threshold: from which probability on a transaction is fraud.
        probabilities: who is asked for the probabilities of some rows.

    Returns:
        of each request its answer, or why it has none: a :class:`ScreeningError` (a transaction can't be scored, the
        key was used for another request), or what the database said. Nothing is kept of such a request.
    """
    answers: list[Answer | None] = [None] * len(questions)
    for attempt in range(MOST_ATTEMPTS):
        left = [place for place, answer in enumerate(answers) if answer is None]
        if not left:
            break
        if attempt >= MOST_TOGETHER_ATTEMPTS:  # the last way: one after the other
            for place in left:
                (answers[place],) = _attempt([questions[place]], ledger, threshold, probabilities)
            continue
        for place, answer in zip(
            left, _attempt([questions[each] for each in left], ledger, threshold, probabilities), strict=True
        ):
            answers[place] = answer
    return [Busy.now() if answer is None else answer for answer in answers]


def _attempt(
    questions: Sequence[Question], ledger: Ledger, threshold: float, probabilities: Probabilities
) -> list[Answer | None]:
    """Decide on some requests; ``None`` for those on which it has to be tried again."""
    answers: list[Answer | None] = [_answered(question, ledger) for question in questions]
    new = [place for place, answer in enumerate(answers) if answer is None]
    new = _once(questions, new)
    entries: dict[int, Entry] = {}
    for place, scored in _scored([questions[place] for place in new], threshold, probabilities):
        if isinstance(scored, Exception):
            answers[new[place]] = scored
        else:
            entries[new[place]] = _entry(questions[new[place]], scored, threshold)
    if entries:
        try:
            kept = ledger.tail.add(list(entries.values()))
        except Exception as problem:  # noqa: BLE001 -- each request is told
            kept = [problem] * len(entries)
        for place, answer in zip(entries, kept, strict=True):
            answers[place] = None if isinstance(answer, Overtaken) else answer
    return answers


def _once(questions: Sequence[Question], places: Sequence[int]) -> list[int]:
    """Leave out requests that came twice: the second one gets the answer of the first."""
    found: list[int] = []
    keys: set[tuple[str, str]] = set()
    for place in places:
        request = questions[place].repeatable
        if request is not None:
            if (request.owner, request.key) in keys:
                continue
            keys.add((request.owner, request.key))
        found.append(place)
    return found


def _answered(question: Question, ledger: Ledger) -> Answer | None:
    if question.repeatable is None:
        return None
    try:
        return ledger.tail.answered(question.repeatable)
    except Exception as problem:  # noqa: BLE001 -- it is told to whoever asked
        return problem


@dataclass(frozen=True, slots=True)
class _Read:
    """The transactions of one request, as its detector reads them."""

    place: int
    """Of its question."""
    rows: Transactions
    labels: Labels | None
    """What they say themselves that they are, if any does."""

    @property
    def known(self) -> Labels:
        """The labels, int8 (rows,), -1 where nothing is said."""
        return np.full(len(self.rows), -1, np.int8) if self.labels is None else self.labels


@dataclass(frozen=True, slots=True)
class _Made:
    """What was found for one request."""

    read: _Read
    scored: Scored
    read_at: int
    repeated: int
    company: object
    notes: Sequence[str]


def _scored(
    questions: Sequence[Question], threshold: float, probabilities: Probabilities
) -> list[tuple[int, _Made | Exception]]:
    """Score each question's rows; each with its place, in no order."""
    found: list[tuple[int, _Made | Exception]] = []
    together: dict[tuple[int, int, Hashable], list[_Read]] = defaultdict(list)
    for place, question in enumerate(questions):
        detector = question.detector
        try:
            rows = from_mappings(question.transactions, detector.contract)
            labels = labels_of(question.transactions, detector.contract)
        except ScreeningError as problem:
            found.append((place, problem))
            continue
        # where a detector looks back, rows that are scored together see each other: only where they may
        live = question.live
        alone = len(rows) > MOST_TOGETHER or (live is None and detector.vectorizer.looks_back)
        same = place if alone else None if live is None else live.whose
        together[id(detector), id(question.rules), same].append(_Read(place, rows, labels))
    for group in together.values():
        found += _of_group(group, questions, threshold, probabilities)
    return found


def _of_group(
    group: Sequence[_Read],
    questions: Sequence[Question],
    threshold: float,
    probabilities: Probabilities,
) -> list[tuple[int, _Made | Exception]]:
    """Score questions of one detector in one pass; one by one if that fails, since a message counts its own rows."""
    first = questions[group[0].place]
    every = [read.rows for read in group]
    rows, history, live = every[0], first.history, first.live
    if len(group) > 1:
        rows = Transactions(rows.columns, np.concatenate([each.values for each in every]))
    if first.detector.vectorizer.looks_back:
        history = replace(history, labels=np.concatenate([read.known for read in group]))
    try:
        kept = () if first.rules is None else first.rules.places
        whole = score(
            rows, first.detector, history, threshold=threshold, probabilities=probabilities, kept=kept
        )
    except Exception as problem:  # noqa: BLE001 -- it is told to whoever asked
        if len(group) == 1:
            return [(group[0].place, problem)]
        return [made for each in group for made in _of_group([each], questions, threshold, probabilities)]
    found: list[tuple[int, _Made | Exception]] = []
    company = object()
    start = 0
    for read in group:
        stop = start + len(read.rows)
        made = _Made(
            read,
            whole.part(start, stop),
            0 if live is None else live.read_at,
            0 if live is None else int(np.count_nonzero(live.repeated[start:stop])),
            company,
            [] if live is None or live.is_whole else [IN_WORK],
        )
        found.append((read.place, made))
        start = stop
    return found


def _entry(question: Question, made: _Made, threshold: float) -> Entry:
    detector, caller = question.detector, question.caller
    now = time.time()
    origin = identity.new_origin(int(now * 1000))
    read = made.read
    kept = columns_of(
        question.transactions,
        read.rows,
        read.labels,
        made.scored,
        detector.contract,
        shadowed=question.shadowed,
        countries=question.countries,
    )
    verdicts = None
    if question.rules is not None:
        verdicts = ask_rules(
            question.rules,
            kept,
            question.transactions,
            read.rows,
            made.scored,
            countries=question.countries,
        )
    answers = _answers(question, made, origin, threshold, verdicts)
    kept.same |= {
        "source": API,
        "origin": origin.hex(),
        "request": caller.request,
        "key": caller.key,
        "owner": caller.owner,
        "decided_at": int(now * 1e6),
        "detector": detector.name,
        "fingerprint": detector.fingerprint,
        "threshold": threshold,
    }
    body = _json(answers[0] if question.single else Decisions(answers))
    velocity = None
    if question.live is not None:
        velocity = VelocityEntry(
            subject=question.live.subject,
            viewer=question.live.viewer,
            shared=caller.shared,
            values=read.rows.values,
            labels=read.known,
            ids=tuple(answer.id for answer in answers),
            read_at=made.read_at,
            repeated=made.repeated,
            company=made.company,
        )
    return Entry.of(caller.owner, kept, body, question.repeatable, velocity)


def _answers(
    question: Question,
    made: _Made,
    origin: bytes,
    threshold: float,
    verdicts: Sequence[Verdict] | None,
) -> list[Decision]:
    prefix, name, scored = identity.id_prefix(origin), question.detector.name, made.scored
    said = [*question.notes, *made.notes]
    found = []
    for number, (probability, flag, reasons, caveats) in enumerate(
        zip(
            scored.probabilities.tolist(),
            scored.flagged.tolist(),
            scored.reasons,
            scored.caveats,
            strict=True,
        )
    ):
        words = [reason.text for reason in reasons]
        decision = Decision(
            f"{prefix}{number:08x}", flag, probability, threshold, name, words, rules=(), fraud_type=None
        )
        if said or caveats:
            decision.notes = [*said, *caveats]
        if verdicts is not None:
            _add_rules(decision, verdicts[number])
        found.append(decision)
    return found


def _add_rules(decision: Decision, verdict: Verdict) -> None:
    decision.fraud, decision.rules, decision.fraud_type = verdict.flagged, verdict.names, verdict.fraud_type
    decision.reasons = [*decision.reasons, *verdict.reasons] if verdict.flagged else []
