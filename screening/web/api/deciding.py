"""Answer ``POST /detect_fraud``, whichever way the request came in: through Flask, or past it with an API key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from screening.accounts.roles import allows
from screening.accounts.users_text import Account
from screening.cards.masking import masked
from screening.cards.tokens import Tokens
from screening.detectors.detector import Detector
from screening.detectors.states import DetectorState, trial_note
from screening.detectors.vectorizer import History
from screening.errors import BadTransaction, CellProblem, ScreeningError
from screening.features.countries.addresses import AddressCountries
from screening.infra.audit.log import API_KEY
from screening.ledger.tables import API
from screening.ledger.tail import Repeatable
from screening.realtime.answers import MOST_TRANSACTIONS
from screening.realtime.decide import decide
from screening.realtime.entries import ReadTransactions
from screening.realtime.questions import Answer, Caller, DecisionRequest
from screening.realtime.shapes import Shapes, body_of, marks_of, shapes_of
from screening.rules.ruleset import RuleSet
from screening.scoring.thresholds import Thresholds
from screening.transactions.json_cards import with_tokens
from screening.uploads.questions.card_tokens import check_key, tokens_of
from screening.web.api import json_body
from screening.web.services import Services

MOST_KEY = 255
KEY_PATTERN = f"^[!-~]([ -~]{{0,{MOST_KEY - 2}}}[!-~])?$"
"""Form of an Idempotency-Key; spaces around the value of a header are no part of it."""
# A body with any other key is refused. A misspelt “detector” that was passed over would let another detector
# decide without a word.
ASKED = frozenset({"detector", "transaction", "transactions"})


MOST_KNOWN = 256
"""Senders that are remembered."""
_Who = tuple[str, str, str | None]
"""Sender of a request, with the role, and the detector that the request names."""


@dataclass(slots=True, kw_only=True)
class ScoringRequest:
    """A request whose sender may have transactions scored."""

    body: bytes
    account: Account
    """Account that sent it, or owns the key that it came with."""
    key: str | None
    """The id of that key."""
    request: str | None
    """The number of the request."""
    idempotency_key: str | None
    source: str = API
    """Source of its transactions in the ledger."""


class Decider:
    """Answers requests. What holds for one sender and detector is looked up once for all that are read at a time.

    Args:
        mine: what they are answered with.
    """

    def __init__(self, mine: Services) -> None:
        self._mine = mine
        self._lasting: tuple[int | None, dict[_Who, _Bound]] = None, {}
        """Values that hold until anybody changes the app's database, which then has another version."""

    def answer(self, sent: Sequence[ScoringRequest]) -> list[Answer]:
        """Score what was sent, keep the decisions, and return the answers; they are kept when this returns.

        Args:
            sent: requests that wait at this moment: each gets the answer that it would get alone.

        Returns:
            of each its JSON, or why there is none.
        """
        mine = self._mine
        answers: list[Answer] = [b""] * len(sent)
        desk = _Desk(mine, self._known())
        questions: dict[int, DecisionRequest] = {}
        for place, one in enumerate(sent):
            try:
                questions[place] = desk.question(one)
            except Exception as problem:  # noqa: BLE001 -- it is told to whoever sent it
                answers[place] = problem
        try:
            decided = decide(
                list(questions.values()),
                mine.ledger,
                threshold=mine.settings.threshold,
                probabilities=mine.probabilities,
            )
        except Exception as problem:  # noqa: BLE001 -- a fault of ours, which each of them is told
            decided = [problem] * len(questions)
        for place, found in zip(questions, decided, strict=True):
            answers[place] = found
        return answers

    def _known(self) -> dict[_Who, _Bound]:
        # asked first: what is committed while it is read makes it old
        version = self._mine.database.version()
        if version is None or version != self._lasting[0] or len(self._lasting[1]) >= MOST_KNOWN:
            self._lasting = version, {}
        return self._lasting[1]


class _Desk:
    """Reads requests that wait at a time.

    Args:
        mine: what they are answered with.
        lasting: what is known from others before.
    """

    def __init__(self, mine: Services, lasting: dict[_Who, _Bound]) -> None:
        self._mine = mine
        self._lasting = lasting
        self._bound: dict[_Who, _Bound] = {}

    def question(self, sent: ScoringRequest) -> DecisionRequest:
        """Return what a request asks.

        Raises:
            ScreeningError: it can't be answered.
        """
        found = self._plainly(sent)
        if found is not None:
            return found
        body = json_body.parse(sent.body)
        bound = self._bind(body.get("detector"), sent.account)
        repeatable = repeatable_of(sent)
        given, single = transactions_of(body)
        whole = self._without_cards(given, bound.detector)
        if not bound.makes_tokens and b"\\" not in sent.body and isinstance(given[0], dict):
            bound.shapes.meet(tuple(given[0]))
        return question_of(sent, bound, whole, repeatable, single=single)

    def _plainly(self, sent: ScoringRequest) -> DecisionRequest | None:
        """Return what a request asks that is like one before it; ``None`` where it has to be read with more care."""
        body = body_of(sent.body)
        if body is None:
            return None
        try:
            bound = self._bind(None if body.detector is UNSET else body.detector, sent.account)
            # rules ask for what a type hasn't
            if bound.makes_tokens or bound.rules is not None:
                return None
            read = bound.shapes.read(body, marks_of(sent.body), MOST_TRANSACTIONS)
            if read is None:
                return None
            return question_of(sent, bound, read, repeatable_of(sent), single=body.single)
        except ScreeningError:  # something else may be wrong, too, that is told before it
            return None

    def _bind(self, name: Any, account: Account) -> _Bound:
        if name is not None and not isinstance(name, str):
            raise BadTransaction("“detector” must be the name of a detector.")
        known = account.username, account.role, name
        found = self._lasting.get(known) or self._bound.get(known)
        if found is None:
            found = self._bound[known] = self._look_up(name, account)
            if found.lasts:
                self._lasting[known] = found
        return found

    def _look_up(self, name: str | None, account: Account) -> _Bound:
        mine, detectors = self._mine, self._mine.detectors
        detector, instead = detectors.in_place_of(detectors.default)
        if name is not None:
            instead = ""
            detector = detectors.known_to(name, account.username, decides=allows(account.role, "decide"))
        state = detectors.standing(detector.name).state
        if name is not None and state is DetectorState.RETIRED:
            detectors.require_in_use(name)  # it says so
        on_trial = state is DetectorState.TRIAL
        notes = [
            *([instead] if instead else []),
            *([trial_note(detector.name)] if on_trial else []),
            *detector.warnings,
        ]
        shadow = detectors.shadow_of(detector.name)
        shadowed = () if shadow is None else tuple(shadow.columns)
        # files of others may change, and what looks back, looks at what there is now
        lasts = detector is detectors.default and not instead and not detector.vectorizer.looks_back
        return _Bound(
            lasts=lasts,
            detector=detector,
            history=mine.policy.seen(mine.history_cache, detector, account.username),
            notes=notes,
            shadowed=shadowed,
            alone=shadow is not None,
            shapes=shapes_of(detector.contract, shadowed),
            makes_tokens=detector.card is not None and bool(detector.card.tokens),
            countries=mine.places.of(detector),
            owner=account.username.casefold(),
            shared=allows(account.role, "decide"),
            rules=mine.rules.live(detector),
            limits=mine.thresholds.of(detector.name),
        )

    def _without_cards(self, given: list[Any], detector: Detector) -> Sequence[Any]:
        expected = {} if detector.card is None else detector.card.tokens

        def tokens() -> Tokens:
            made = tokens_of(self._mine.settings.instance)
            check_key(detector, made)
            return made

        return with_tokens(given, expected, tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bound:
    """A detector as it is for one sender."""

    lasts: bool
    """Whether it stays so until the app's database changes."""
    detector: Detector
    history: History
    notes: Sequence[str]
    shadowed: tuple[str, ...]
    """Columns that are kept for a detector in its shadow, too."""
    alone: bool
    """Whether there is such a detector, which counts by requests."""
    shapes: Shapes
    makes_tokens: bool
    """Whether it takes card numbers, and makes tokens of them: that is read with care."""
    countries: AddressCountries | None
    owner: str
    shared: bool
    rules: RuleSet | None
    """Rules beside the net."""
    limits: Thresholds


def question_of(
    sent: ScoringRequest,
    bound: _Bound,
    transactions: Sequence[Any] | ReadTransactions,
    repeatable: Repeatable | None,
    *,
    single: bool,
) -> DecisionRequest:
    """Return what is asked of the real-time decision: transactions, and all that their caller may."""
    return DecisionRequest(
        transactions=transactions,
        single=single,
        detector=bound.detector,
        history=bound.history,
        caller=Caller(
            owner=bound.owner, key=sent.key, request=sent.request, source=sent.source, shared=bound.shared
        ),
        notes=bound.notes,
        shadowed=bound.shadowed,
        countries=bound.countries,
        repeatable=repeatable,
        alone=bound.alone or bound.rules is not None,
        rules=bound.rules,
        limits=bound.limits,
    )


def repeatable_of(sent: ScoringRequest) -> Repeatable | None:
    """Return under which key the request may be sent again, if it has one."""
    key = sent.idempotency_key
    if key is None:
        return None
    if not (0 < len(key) <= MOST_KEY and key.isprintable() and key.isascii()):
        raise BadTransaction(
            f"The Idempotency-Key must have 1 to {MOST_KEY} printable ASCII characters.",
            remedy="Give each request a UUID of its own.",
        )
    if API_KEY.search(key):  # it is kept for a day
        raise BadTransaction(
            "The Idempotency-Key is an API key.",
            remedy="Send the API key as “Authorization: Bearer fsk_…”, and give each request a UUID of its own.",
        )
    return Repeatable(sent.account.username.casefold(), key, sent.body)


def transactions_of(body: dict[str, Any]) -> tuple[list[Any], bool]:
    """Return the transactions of a request, and whether it is a single one that is answered as such."""
    if not body.keys() <= ASKED:
        odd = masked(next(name for name in body if name not in ASKED))[:40]
        raise BadTransaction(
            f"The body has “{odd}”, which means nothing here.",
            remedy="Send “transaction” or “transactions”, and “detector” if you want a certain one.",
            problems=[CellProblem("means nothing here", column=odd)],
        )
    if "transactions" in body:
        given = body["transactions"]
        if "transaction" in body:
            raise BadTransaction(
                "The body has both “transaction” and “transactions”.", remedy="Send one of the two."
            )
        if not isinstance(given, list) or not 0 < len(given) <= MOST_TRANSACTIONS:
            raise BadTransaction(f"“transactions” must be a list of 1 to {MOST_TRANSACTIONS} objects.")
        return given, False
    if not isinstance(body.get("transaction"), dict):
        raise BadTransaction(
            "The body has neither “transaction” nor “transactions”.",
            remedy='Send {"transaction": {"Time": 0, "V1": 0.1, …, "Amount": 12.5}}.',
        )
    return [body["transaction"]], True
