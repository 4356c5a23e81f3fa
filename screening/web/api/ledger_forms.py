"""The forms of what programs are told of the ledger, and of labels that they send."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from screening.ledger import identity
from screening.realtime.answers import Probability
from screening.web.http.ledger_filters import TIME_WORDS

SAME = 1e-6
"""Largest difference of two probabilities that are the same."""
MOST_LABELS = 10_000
MOST_TYPE = 64

Id: TypeAlias = Annotated[
    str,
    Meta(
        description="of a decision",
        pattern=identity.PATTERN,
        examples=["019bf52b-7c1e-7f40-8a3d-5c2e00000000"],
    ),
]
Word: TypeAlias = Literal["fraud", "legitimate"]
Time: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
Text: TypeAlias = str | None


class Transaction(Struct):
    """A scored transaction, as the ledger has it."""

    id: Id
    source: Annotated[Literal["api", "file", "batch", "stream"], Meta(description="how it came")]
    screening: Annotated[Text, Meta(description="of a file's row: the id of the screening")]
    row: Annotated[int | None, Meta(description="of a file's row: its number, from 1")]
    owner: Annotated[Text, Meta(description="the account, in small letters")]
    decided_at: Annotated[Time | None, Meta(description="UTC")]
    event_time: Annotated[
        Time | None,
        Meta(description="the transaction's own time, UTC; `null` where the data have no calendar"),
    ]
    detector: Annotated[Text, Meta(description="which one decided")]
    fingerprint: Annotated[Text, Meta(description="of that detector: another one after it was trained again")]
    fraud_probability: Probability
    threshold: Probability
    fraud: Annotated[bool, Meta(description="whether the probability reached the threshold")]
    amount: Annotated[float | None, Meta(description="as people write it")]
    customer: Text
    card: Text
    account: Text
    merchant: Text
    terminal: Text
    device: Text
    address: Text
    country: Text
    browser: Text
    channel: Text
    currency: Text
    fraud_type: Text
    label: Annotated[Word | None, Meta(description="what it turned out to be; the last word counts")]
    rules: list[str]
    reasons: list[str]
    action: (
        Annotated[
            Literal["block", "review"],
            Meta(
                description="only of flagged transactions, where the detector had a second threshold: whether that one "
                "was reached, too, and the payment was to be stopped without a look"
            ),
        ]
        | UnsetType
    ) = UNSET


class TransactionPage(Struct):
    """Some transactions."""

    transactions: list[Transaction]
    next: Annotated[Text, Meta(description="`cursor` of the next page; `null` on the last one")]


class Replay(Struct):
    """Probabilities of a transaction then and now, when it was scored again."""

    same: Annotated[bool, Meta(description=f"whether both are the same but for {SAME:.6f}")]
    fraud_probability: Probability
    was: Probability


Hash: TypeAlias = Annotated[
    Text, Meta(description="SHA-256, hex; `null` where none was noted", extra_json_schema={"maxLength": 64})
]


class ReceiptCheck(Struct):
    """One thing that has to be the same when a transaction is scored again."""

    what: str
    was: str
    now: str
    same: Annotated[bool | None, Meta(description="`null` where it can't be said")]
    why: str


class ReceiptRule(Struct):
    """Verdict of one rule that was asked."""

    name: str
    condition: str
    effect: str
    state: str


class ReceiptForm(Struct):
    """Provenance of one decision."""

    id: Id
    detector: str
    fingerprint: Annotated[str, Meta(description="of net, vectorizer and columns together")]
    net: Hash
    vectorizer: Hash
    rules: Annotated[
        Text,
        Meta(
            description="SHA-256, hex, of all rules that were asked, and their lists; `null` where none was"
        ),
    ]
    rule_texts: list[ReceiptRule]
    input: Annotated[
        Text,
        Meta(
            description="SHA-256, hex, of the transaction as it came, or of the file; `null` where that is gone"
        ),
    ]
    segment: Annotated[Text, Meta(description="where the row is; `null` until it is sealed")]
    segment_hash: Hash
    fraud_probability: Probability
    threshold: Probability
    fraud: bool


class ReplayedReceipt(Struct):
    """A receipt, held against what the very same artefacts say now."""

    receipt: ReceiptForm
    same: Annotated[bool, Meta(description="whether all of it is the same, and could be looked at")]
    checks: list[ReceiptCheck]


class GivenLabel(Struct, forbid_unknown_fields=True):
    """Label of one transaction."""

    id: Id
    label: Word
    at: (
        Annotated[
            str,
            Meta(
                description=f"when that was found out; now if it is left out. {TIME_WORDS}",
                extra_json_schema={"anyOf": [{"format": "date-time"}, {"format": "date"}]},
            ),
        ]
        | None
    ) = None
    fraud_type: Annotated[str, Meta(min_length=1, max_length=MOST_TYPE)] | None = None


class GivenLabels(Struct, forbid_unknown_fields=True):
    """Labels that came later."""

    labels: Annotated[list[Any], Meta(min_length=1, max_length=MOST_LABELS)]


class LabelsBody(GivenLabels):
    """Labels that came later. One that can't be read refuses the request."""

    labels: Annotated[list[GivenLabel], Meta(min_length=1, max_length=MOST_LABELS)]


class LabelsAccepted(Struct):
    """Number of labels that were kept."""

    accepted: Annotated[int, Meta(ge=0)]
    unknown: Annotated[list[str], Meta(description="ids that aren't known to the key's owner")]
