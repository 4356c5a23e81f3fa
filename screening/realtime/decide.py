"""Decides on transactions of a program: scores them, keeps each decision in the ledger, and answers.

Every way in calls :func:`decide`: the same transactions get the same answers.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Hashable, Iterator, Mapping, Sequence
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
from screening.realtime.entries import Read, columns_of, known_labels, read_mappings
from screening.scoring.score import Probabilities, Scored, own_probabilities, score
from screening.transactions.schema import Matrix, Transactions

_json = msgspec.json.Encoder().encode
MOST_TOGETHER = 16
"""A request with more rows than this gains nothing by being scored together with others."""
NONE: Sequence[str] = ()
MOST_ATTEMPTS, MOST_TOGETHER_ATTEMPTS = 40, 4
"""So often requests are scored again that others overtake, and so often together."""


@dataclass(slots=True, kw_only=True)
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


@dataclass(slots=True, kw_only=True)
class Question:
    """One request: what is to be decided, by what, and for whom. Nobody changes it; frozen, it would take three times
    as long to make.
    """

    transactions: Sequence[Mapping[str, Any]] | Read
    """As they came, or read already."""
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
    alone: bool = False
    """Whether the ledger is to keep it as an entry of its own."""

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
    answers: list[Answer | None] = [
        None if question.repeatable is None else _answered(question.repeatable, ledger)
        for question in questions
    ]
    new = _once(questions, [place for place, answer in enumerate(answers) if answer is None])
    pages: list[Page] = []
    for group in _groups(questions, new, answers):
        pages += _pages_of(group, questions, answers, threshold, probabilities)
    if pages:
        try:
            kept = ledger.tail.add([page.entry for page in pages])
        except Exception as problem:  # noqa: BLE001 -- each request is told
            kept = [problem] * len(pages)
        for page, found in zip(pages, kept, strict=True):
            for place, answer in page.told(found):
                answers[place] = answer
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


def _answered(request: Repeatable, ledger: Ledger) -> Answer | None:
    try:
        return ledger.tail.answered(request)
    except Exception as problem:  # noqa: BLE001 -- it is told to whoever asked
        return problem


Group = list[tuple[int, Read]]
"""Requests of one detector that are scored together: their places, and what they ask."""


def _groups(questions: Sequence[Question], new: Sequence[int], answers: list[Answer | None]) -> list[Group]:
    """Read requests, and put those together that may be scored together; faults go into ``answers``."""
    together: dict[tuple[int, Hashable], Group] = defaultdict(list)
    for place in new:
        question = questions[place]
        read = question.transactions
        if not isinstance(read, Read):
            try:
                read = read_mappings(read, question.detector.contract, question.shadowed)
            except ScreeningError as problem:
                answers[place] = problem
                continue
        # where a detector looks back, rows that are scored together see each other: only where they may
        live = question.live
        alone = read.rows > MOST_TOGETHER or (live is None and question.detector.vectorizer.looks_back)
        same = place if alone else None if live is None else live.whose
        together[id(question.detector), same].append((place, read))
    return list(together.values())


def _pages_of(
    group: Group,
    questions: Sequence[Question],
    answers: list[Answer | None],
    threshold: float,
    probabilities: Probabilities,
) -> list[Page]:
    """Score requests of one detector in one pass; one by one if that fails, since a message counts its own rows."""
    parts = _by_page(group, questions)
    reads = [read for part in parts for _, read in part]
    first = questions[group[0][0]]
    contract, history, live = first.detector.contract, first.history, first.live
    cells = reads[0].cells if len(reads) == 1 else b"".join([read.cells for read in reads])
    rows = Transactions(contract.columns, np.frombuffer(cells).reshape(-1, len(contract.columns)))
    if first.detector.vectorizer.looks_back:
        history = replace(history, labels=np.array(known_labels(reads), np.int8))
    try:
        whole = score(rows, first.detector, history, threshold=threshold, probabilities=probabilities)
    except Exception as problem:  # noqa: BLE001 -- it is told to whoever asked
        if len(group) == 1:
            answers[group[0][0]] = problem
            return []
        return [
            page for one in group for page in _pages_of([one], questions, answers, threshold, probabilities)
        ]
    company = object()
    found = []
    start = 0
    for part in parts:
        stop = start + sum(read.rows for _, read in part)
        scored = whole if len(parts) == 1 else whole.part(start, stop)
        page = Page(
            [(place, read, questions[place]) for place, read in part], rows.values[start:stop], scored
        )
        page.seal(threshold, live, company, start)
        found.append(page)
        start = stop
    return found


def _by_page(group: Group, questions: Sequence[Question]) -> list[Group]:
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
        parts[one[0] if apart else (caller.owner, caller.key, caller.shared)].append(one)
    return list(parts.values())


class Page:
    """Requests of one caller that are kept as one entry.

    Args:
        asked: each request's place, what it asks, and the question itself.
        values: their rows, float64 (rows, columns of the contract).
        scored: what was found of them.
    """

    __slots__ = ("_answers", "_asked", "_scored", "_values", "entry")

    def __init__(self, asked: Sequence[tuple[int, Read, Question]], values: Matrix, scored: Scored) -> None:
        self._asked, self._values, self._scored = asked, values, scored
        self._answers: list[bytes] = []
        self.entry: Entry
        """What the ledger keeps."""

    def told(self, kept: bytes | Exception) -> Iterator[tuple[int, Answer | None]]:
        """Yield the answer to each request, with its place, once the entry was kept or wasn't."""
        if isinstance(kept, bytes) and len(self._asked) > 1:
            yield from zip((place for place, _, _ in self._asked), self._answers, strict=True)
            return
        for place, _, _ in self._asked:
            yield place, None if isinstance(kept, Overtaken) else kept

    def seal(self, threshold: float, live: LivePast | None, company: object, start: int) -> None:
        """Word the answers, and make the entry.

        Args:
            threshold: from which probability on a transaction is fraud.
            live: what the rows looked back on, if they did.
            company: one object for all that were scored together.
            start: how many rows were scored before them.
        """
        question = self._asked[0][2]
        detector, caller = question.detector, question.caller
        now = time.time()
        origin = identity.new_origin(int(now * 1000))
        decisions = self._decisions(origin, threshold, [] if live is None or live.is_whole else [IN_WORK])
        reads = [read for _, read, _ in self._asked]
        rows = Transactions(detector.contract.columns, self._values)
        kept = columns_of(reads, rows, self._scored, detector.contract, question.countries)
        kept.same |= {
            "source": API,
            "origin": origin.hex(),
            "key": caller.key,
            "owner": caller.owner,
            "decided_at": int(now * 1e6),
            "detector": detector.name,
            "fingerprint": detector.fingerprint,
            "threshold": threshold,
        }
        if len(self._asked) == 1:
            kept.same["request"] = caller.request
        else:
            kept.columns["request"] = [
                asked.caller.request for _, read, asked in self._asked for _ in range(read.rows)
            ]
        at = 0
        for _, read, asked in self._asked:
            some = decisions[at : at + read.rows]
            self._answers.append(_json(some[0] if asked.single else Decisions(some)))
            at += read.rows
        velocity = None
        if live is not None:
            velocity = VelocityEntry(
                subject=live.subject,
                viewer=live.viewer,
                shared=caller.shared,
                values=self._values,
                labels=np.array(known_labels(reads), np.int8),
                ids=tuple(decision.id for decision in decisions),
                read_at=live.read_at,
                repeated=int(np.count_nonzero(live.repeated[start : start + at])),
                company=company,
            )
        answer = self._answers[0] if len(self._answers) == 1 else b""
        count = len(self._asked)
        self.entry = Entry.of(caller.owner, kept, answer, question.repeatable, velocity, requests=count)

    def _decisions(self, origin: bytes, threshold: float, notes: Sequence[str]) -> list[Decision]:
        question, scored = self._asked[0][2], self._scored
        prefix, name = identity.id_prefix(origin), question.detector.name
        said = [*question.notes, *notes]
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
            words = [reason.text for reason in reasons] if reasons else NONE
            decision = Decision(
                f"{prefix}{number:08x}",
                flag,
                probability,
                threshold,
                name,
                words,
                rules=NONE,
                fraud_type=None,
            )
            if said or caveats:
                decision.notes = [*said, *caveats]
            found.append(decision)
        return found
