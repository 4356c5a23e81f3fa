"""Decides on transactions of a program: scores them, keeps each decision in the ledger, and answers.

Every way in calls :func:`decide`: the same transactions get the same answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from screening.errors import ScreeningError
from screening.ledger.ledger import Ledger
from screening.ledger.tail import Repeatable
from screening.realtime.entries import ReadTransactions, known_labels, read_mappings
from screening.realtime.pages import Page
from screening.realtime.questions import Answer, DecisionRequest
from screening.scoring.score import Probabilities, own_probabilities, score
from screening.scoring.thresholds import Thresholds
from screening.transactions.schema import Transactions

# A request with more rows than this gains nothing by sharing a call of the net.
MOST_TOGETHER = 16
# Attempts for requests that others overtake, and how many of them are made together: the last way is one
# after the other.
MOST_ATTEMPTS, MOST_TOGETHER_ATTEMPTS = 40, 4


class Busy(ScreeningError):
    """Others were faster, again and again."""

    status = 503
    title = "Too many transactions of one entity at once"

    @classmethod
    def now(cls) -> Busy:
        """Return what a request is told that was stale too often."""
        return cls(
            "Other transactions of the same card, account or terminal came in faster than this one could be scored.",
            remedy="Send it again; nothing was kept of it.",
        )


def decide(
    questions: Sequence[DecisionRequest],
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
        threshold: from which probability on a transaction is fraud, where a question says nothing else.
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
        # the last way: one after the other
        if attempt >= MOST_TOGETHER_ATTEMPTS:
            for place in left:
                (answers[place],) = decide_once([questions[place]], ledger, threshold, probabilities)
            continue
        for place, answer in zip(
            left,
            decide_once([questions[each] for each in left], ledger, threshold, probabilities),
            strict=True,
        ):
            answers[place] = answer
    return [Busy.now() if answer is None else answer for answer in answers]


def decide_once(
    questions: Sequence[DecisionRequest], ledger: Ledger, threshold: float, probabilities: Probabilities
) -> list[Answer | None]:
    """Decide on some requests; ``None`` for those on which it has to be tried again."""
    answers: list[Answer | None] = [
        None if question.repeatable is None else answered_before(question.repeatable, ledger)
        for question in questions
    ]
    new = without_repeats(questions, [place for place, answer in enumerate(answers) if answer is None])
    pages: list[Page] = []
    for group in read_groups(questions, new, answers):
        pages += score_group(group, questions, answers, threshold, probabilities)
    if pages:
        try:
            kept = ledger.tail.add([page.entry for page in pages])
        except Exception as problem:  # noqa: BLE001 -- each request is told
            kept = [problem] * len(pages)
        for page, found in zip(pages, kept, strict=True):
            for place, answer in page.told(found):
                answers[place] = answer
    return answers


def without_repeats(questions: Sequence[DecisionRequest], places: Sequence[int]) -> list[int]:
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


def answered_before(request: Repeatable, ledger: Ledger) -> Answer | None:
    """Return what was answered under the key of a request, if it was, or the error of looking it up."""
    try:
        return ledger.tail.answered(request)
    except Exception as problem:  # noqa: BLE001 -- it is told to whoever asked
        return problem


Group = list[tuple[int, ReadTransactions]]
"""Requests of one detector that are scored together: their places, and what they ask."""


def read_groups(
    questions: Sequence[DecisionRequest], new: Sequence[int], answers: list[Answer | None]
) -> list[Group]:
    """Read requests, and put those together that may be scored together; faults go into ``answers``."""
    together: dict[tuple[int, int, Thresholds | None, Hashable], Group] = defaultdict(list)
    for place in new:
        question = questions[place]
        read = question.transactions
        if not isinstance(read, ReadTransactions):
            try:
                read = read_mappings(read, question.detector.contract, question.shadowed)
            except ScreeningError as problem:
                answers[place] = problem
                continue
        # where a detector looks back, rows that are scored together see each other: only where they may
        live = question.live
        alone = read.rows > MOST_TOGETHER or (live is None and question.detector.vectorizer.looks_back)
        same = place if alone else None if live is None else live.whose
        together[id(question.detector), id(question.rules), question.limits, same].append((place, read))
    return list(together.values())


def score_group(
    group: Group,
    questions: Sequence[DecisionRequest],
    answers: list[Answer | None],
    threshold: float,
    probabilities: Probabilities,
) -> list[Page]:
    """Score requests of one detector in one pass; one by one if that fails, since a message counts its own rows."""
    parts = by_page(group, questions)
    reads = [read for part in parts for _, read in part]
    first = questions[group[0][0]]
    contract, history, live = first.detector.contract, first.history, first.live
    limits = first.limits or Thresholds(threshold)
    cells = reads[0].cells if len(reads) == 1 else b"".join([read.cells for read in reads])
    rows = Transactions(contract.columns, np.frombuffer(cells).reshape(-1, len(contract.columns)))
    if first.detector.vectorizer.looks_back:
        history = replace(history, labels=np.array(known_labels(reads), np.int8))
    try:
        kept = () if first.rules is None else first.rules.places
        whole = score(
            rows, first.detector, history, threshold=limits.review, probabilities=probabilities, kept=kept
        )
    except Exception as problem:  # noqa: BLE001 -- it is told to whoever asked
        if len(group) == 1:
            answers[group[0][0]] = problem
            return []
        return [
            page for one in group for page in score_group([one], questions, answers, threshold, probabilities)
        ]
    # marks what was scored together: these requests have seen each other's rows
    company = object()
    found = []
    start = 0
    for part in parts:
        stop = start + sum(read.rows for _, read in part)
        scored = whole if len(parts) == 1 else whole.part(start, stop)
        page = Page(
            [(place, read, questions[place]) for place, read in part], rows.values[start:stop], scored
        )
        page.fill(limits, live, company, start)
        found.append(page)
        start = stop
    return found


def by_page(group: Group, questions: Sequence[DecisionRequest]) -> list[Group]:
    """Return a group in parts that the ledger keeps as one entry each: what has the same caller and stands for itself
    in nothing. A request that may be repeated is noted by itself; a detector in the shadow counts by requests.
    """
    if len(group) == 1:
        return [group]
    parts: dict[Hashable, Group] = defaultdict(list)
    for one in group:
        question = questions[one[0]]
        caller = question.caller
        apart = question.repeatable is not None or question.alone
        parts[one[0] if apart else (caller.owner, caller.key, caller.source, caller.shared)].append(one)
    return list(parts.values())
