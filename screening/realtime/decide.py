"""Decides on transactions of a program: scores them, keeps each decision in the ledger, and answers.

Every way in calls :func:`decide`: the same transactions get the same answers.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from screening.detectors.detector import Detector
from screening.detectors.vectorizer import Seen
from screening.errors import ScreeningError
from screening.ledger import identity
from screening.ledger.ledger import Ledger
from screening.ledger.tables import API
from screening.ledger.tail import Entry, Repeatable
from screening.realtime.answers import Decision, Decisions
from screening.realtime.entries import columns_of
from screening.scoring.score import Probabilities, Scored, own_probabilities, score
from screening.transactions.json_records import from_mappings
from screening.transactions.schema import Transactions

_json = msgspec.json.Encoder().encode
MOST_TOGETHER = 16
"""A request with more rows than this gains nothing by being scored together with others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks for a decision."""

    owner: str
    """The account, in small letters."""
    key: str | None = None
    """The id of the API key, where one was shown."""
    request: str | None = None
    """The number of the request."""


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
    repeatable: Repeatable | None = None
    """Under which key the request may be sent again."""


Answer = bytes | Exception
"""JSON, or why there is none."""


def decide(
    questions: Sequence[Question],
    ledger: Ledger,
    *,
    threshold: float,
    probabilities: Probabilities = own_probabilities,
) -> list[Answer]:
    """Score the transactions of some requests, keep the decisions, and return the answers; they are kept when this
    returns.

    Requests that are decided together share the calls of the net and the commit, and nothing else: each gets the
    answer that it would get alone.

    Args:
        questions: the requests.
        ledger: where the decisions are kept.
        threshold: from which probability on a transaction is fraud.
        probabilities: who is asked for the probabilities of some rows.

    Returns:
        of each request its answer, or why it has none: a :class:`ScreeningError` (a transaction can't be scored, the
        key was used for another request), or what the database said. Nothing is kept of such a request.
    """
    answers: list[Answer | None] = [_answered(question, ledger) for question in questions]
    new = [place for place, answer in enumerate(answers) if answer is None]
    entries: dict[int, Entry] = {}
    for place, scored in _scored([questions[place] for place in new], threshold, probabilities):
        if isinstance(scored, Exception):
            answers[new[place]] = scored
        else:
            entries[new[place]] = _entry(questions[new[place]], *scored, threshold)
    if entries:
        try:
            kept = ledger.tail.add(list(entries.values()))
        except Exception as problem:  # noqa: BLE001 -- each request is told
            kept = [problem] * len(entries)
        for place, answer in zip(entries, kept, strict=True):
            answers[place] = answer
    return [RuntimeError("a request was left out") if answer is None else answer for answer in answers]


def _answered(question: Question, ledger: Ledger) -> Answer | None:
    if question.repeatable is None:
        return None
    try:
        return ledger.tail.answered(question.repeatable)
    except Exception as problem:  # noqa: BLE001 -- it is told to whoever asked
        return problem


_Made = tuple[Transactions, Scored]


def _scored(
    questions: Sequence[Question], threshold: float, probabilities: Probabilities
) -> list[tuple[int, _Made | Exception]]:
    """Score each question's rows; each with its place, in no order."""
    found: list[tuple[int, _Made | Exception]] = []
    together: dict[tuple[int, int], list[tuple[int, Transactions]]] = defaultdict(list)
    for place, question in enumerate(questions):
        detector = question.detector
        try:
            rows = from_mappings(question.transactions, detector.contract)
        except ScreeningError as problem:
            found.append((place, problem))
            continue
        # where a detector looks back, the rows of one request tell of each other, and not of another's
        alone = len(rows) > (1 if detector.vectorizer.looks_back else MOST_TOGETHER)
        same = -1 - place if alone else id(question.history.past)
        together[id(detector), same].append((place, rows))
    for group in together.values():
        found += _of_group(group, questions, threshold, probabilities)
    return found


def _of_group(
    group: Sequence[tuple[int, Transactions]],
    questions: Sequence[Question],
    threshold: float,
    probabilities: Probabilities,
) -> list[tuple[int, _Made | Exception]]:
    """Score questions of one detector in one pass; one by one if that fails, since a message counts its own rows."""
    first = questions[group[0][0]]
    every = [rows for _, rows in group]
    rows, history = every[0], first.history
    if len(group) > 1:
        rows = Transactions(rows.columns, np.concatenate([each.values for each in every]))
        history = replace(history, apart=True)
    try:
        whole = score(rows, first.detector, history, threshold=threshold, probabilities=probabilities)
    except Exception as problem:  # noqa: BLE001 -- it is told to whoever asked
        if len(group) == 1:
            return [(group[0][0], problem)]
        return [made for each in group for made in _of_group([each], questions, threshold, probabilities)]
    found: list[tuple[int, _Made | Exception]] = []
    start = 0
    for place, own in group:
        found.append((place, (own, whole.part(start, start + len(own)))))
        start += len(own)
    return found


def _entry(question: Question, rows: Transactions, scored: Scored, threshold: float) -> Entry:
    detector, caller = question.detector, question.caller
    now = time.time()
    origin = identity.new_origin(int(now * 1000))
    answers = _answers(question, scored, origin, threshold)
    kept = columns_of(question.transactions, rows, scored, detector.contract)
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
    return Entry.of(caller.owner, kept, body, question.repeatable)


def _answers(question: Question, scored: Scored, origin: bytes, threshold: float) -> list[Decision]:
    prefix, name, said = identity.id_prefix(origin), question.detector.name, question.notes
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
        found.append(decision)
    return found
