"""What ``POST /detect_fraud`` does, whichever way the request came in: through Flask, or past it with an API key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from screening.accounts.roles import allows
from screening.accounts.users_text import Account
from screening.cards.masking import masked
from screening.cards.tokens import Tokens
from screening.detectors.detector import Detector
from screening.detectors.states import State, trial_note
from screening.detectors.vectorizer import Seen
from screening.errors import BadTransaction, CellProblem
from screening.infra.audit_log import API_KEY
from screening.ledger.tail import Repeatable
from screening.realtime.answers import MOST_TRANSACTIONS
from screening.realtime.decide import Answer, Caller, Question, decide
from screening.rules.ruleset import RuleSet
from screening.transactions.json_cards import with_tokens
from screening.uploads.card_tokens import check_key, tokens_of
from screening.web.api import json_body
from screening.web.services import Services

MOST_KEY = 255
KEY_PATTERN = f"^[!-~]([ -~]{{0,{MOST_KEY - 2}}}[!-~])?$"
"""What an Idempotency-Key is; spaces around the value of a header are no part of it."""
ASKED = frozenset({"detector", "transaction", "transactions"})
"""What a body may have. A name that is none of these, such as a misspelt “detector”, isn't passed over: another
detector would decide, without a word.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A request whose sender may have transactions scored."""

    body: bytes
    account: Account
    """Who sent it, or owns the key that it came with."""
    key: str | None
    """The id of that key."""
    request: str | None
    """The number of the request."""
    idempotency_key: str | None


def answer(sent: Sequence[Sent], mine: Services) -> list[Answer]:
    """Score what was sent, keep the decisions, and return the answers; they are kept when this returns.

    Args:
        sent: requests that wait at this moment: each gets the answer that it would get alone.
        mine: what they are answered with.

    Returns:
        of each its JSON, or why there is none.
    """
    answers: list[Answer] = [b""] * len(sent)
    desk = _Desk(mine)
    questions: dict[int, Question] = {}
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


class _Desk:
    """Reads requests. What holds for one sender and detector is looked up once for all requests that are read at a
    time.
    """

    def __init__(self, mine: Services) -> None:
        self._mine = mine
        self._bound: dict[tuple[str, str, str | None], _Bound] = {}

    def question(self, sent: Sent) -> Question:
        """Return what a request asks.

        Raises:
            ScreeningError: it can't be answered.
        """
        body = json_body.parse(sent.body)
        bound = self._bind(body.get("detector"), sent.account)
        owner = sent.account.username.casefold()
        repeatable = _repeatable(owner, sent)
        given, single = _transactions(body)
        return Question(
            transactions=self._without_cards(given, bound.detector),
            single=single,
            detector=bound.detector,
            history=bound.history,
            caller=Caller(
                owner=owner,
                key=sent.key,
                request=sent.request,
                shared=allows(sent.account.role, "decide"),
            ),
            notes=bound.notes,
            shadowed=bound.shadowed,
            countries=self._mine.places.of(bound.detector),
            repeatable=repeatable,
            rules=bound.rules,
        )

    def _bind(self, name: Any, account: Account) -> _Bound:
        if name is not None and not isinstance(name, str):
            raise BadTransaction("“detector” must be the name of a detector.")
        known = account.username, account.role, name
        if known not in self._bound:
            self._bound[known] = self._look_up(name, account)
        return self._bound[known]

    def _look_up(self, name: str | None, account: Account) -> _Bound:
        mine, detectors = self._mine, self._mine.detectors
        detector, instead = detectors.in_place_of(detectors.default)
        if name is not None:
            instead = ""
            detector = detectors.known_to(name, account.username, decides=allows(account.role, "decide"))
            detectors.require_in_use(name)
        on_trial = detectors.standing(detector.name).state is State.TRIAL
        notes = [
            *([instead] if instead else []),
            *([trial_note(detector.name)] if on_trial else []),
            *detector.warnings,
        ]
        shadow = detectors.shadow_of(detector.name)
        return _Bound(
            detector,
            mine.policy.seen(mine.recollections, detector, account.username),
            notes,
            () if shadow is None else tuple(shadow.columns),
            mine.rules.live(detector),
        )

    def _without_cards(self, given: list[Any], detector: Detector) -> Sequence[Any]:
        expected = {} if detector.card is None else detector.card.tokens

        def tokens() -> Tokens:
            made = tokens_of(self._mine.settings.instance)
            check_key(detector, made)
            return made

        return with_tokens(given, expected, tokens)


@dataclass(frozen=True, slots=True)
class _Bound:
    """A detector as it is for one sender."""

    detector: Detector
    history: Seen
    notes: Sequence[str]
    shadowed: tuple[str, ...]
    """Columns that are kept for a detector in its shadow, too."""
    rules: RuleSet | None
    """What has a say beside the net."""


def _repeatable(owner: str, sent: Sent) -> Repeatable | None:
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
    return Repeatable(owner, key, sent.body)


def _transactions(body: dict[str, Any]) -> tuple[list[Any], bool]:
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
