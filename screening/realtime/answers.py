"""The forms of an answer to a program: they are encoded as they stand here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from screening.ledger import identity

MOST_TRANSACTIONS = 10_000
"""Of one request."""
Probability = Annotated[float, Meta(ge=0, le=1)]


# of ten thousand of them the collection of garbage would look at each again and again, and they are in no circle
class Decision(Struct, gc=False):
    """Decision on a transaction."""

    id: Annotated[str, Meta(description="for `/transactions/<id>` and `/labels`", pattern=identity.PATTERN)]
    fraud: Annotated[
        bool,
        Meta(
            description="whether it is flagged: the probability reaches the threshold, unless a rule says otherwise"
        ),
    ]
    fraud_probability: Probability
    threshold: Probability
    detector: Annotated[str, Meta(description="which one decided")]
    reasons: Annotated[
        Sequence[str], Meta(description="of a flagged transaction: in words, the strongest first")
    ]
    rules: Annotated[Sequence[str], Meta(description="the rules that fired")]
    fraud_type: str | None
    notes: (
        Annotated[
            Sequence[str],
            Meta(description="only where the probability is doubtful, or the detector is on trial: why"),
        ]
        | UnsetType
    ) = UNSET
    action: (
        Annotated[
            Literal["block", "review"],
            Meta(
                description="only of flagged transactions, where the detector has a second threshold: whether that "
                "one is reached, too, and the payment is to be stopped without a look"
            ),
        ]
        | UnsetType
    ) = UNSET


class Decisions(Struct):
    """Decisions on several transactions."""

    results: Annotated[Sequence[Decision], Meta(description="in the order of `transactions`")]
