"""A file is read once where its cells have one meaning, and looked over as a whole first where they don't."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from screening.errors import Question, Reading, Undecided
from screening.intake import NOTHING_SAID, Answers, Forms, Head, Kind, look_over, settled
from screening.transactions.schema import ColumnContract
from screening.uploads.upload_folder import Folder

if TYPE_CHECKING:
    from screening.detectors.detector import Detector

EXAMPLES = 5
FEW_REFUNDS = 0.2
"""The share of amounts up to which negative ones are taken for refunds; of more it may be the other way round."""
Outcome = TypeVar("Outcome")


@dataclass(frozen=True, slots=True)
class Reader:
    """What is needed to read the file of a folder."""

    folder: Folder
    kind: Kind
    choose: Callable[[], Callable[[Head], ColumnContract]]
    """Makes what picks the contract by the header."""
    answers: Answers = NOTHING_SAID
    waiting: Callable[[], None] = lambda: None

    def settled(self, read: Callable[[Forms | None], Outcome]) -> Outcome:
        """Have a file read, once more where the first try finds that it must be looked at as a whole.

        Raises:
            BadFile: it can't be read, or whoever sent it must be asked.
        """
        at_once = self.answers == NOTHING_SAID or not self.kind.streams
        return settled(read, self._looked_over, at_once=at_once)

    def _looked_over(self) -> Forms:
        self.folder.wait_until_whole()
        return look_over(
            self.folder.input, self.kind, self.choose(), answers=self.answers, waiting=self.waiting
        )


def check_sign(
    detector: Detector, amounts: NDArray[np.float64], answers: Answers, *, told: bool
) -> list[str]:
    """Ask which sign is an expense where many amounts are negative and those of the training never were; note a few.

    Banks write what leaves an account as negative, detectors learn what is paid as positive. Where the file says itself
    which way the money went, there is nothing to ask.

    Args:
        detector: whose training data they are held against.
        amounts: (rows,), NaN where a row is set aside.
        answers: what was said of the file.
        told: whether the file says it, by DR and CR or by another column.

    Raises:
        Undecided: many are negative, and nothing was said of it.
    """
    name = detector.contract.amount
    known = None if detector.card is None or name is None else detector.card.columns.get(name)
    if name is None or known is None or known.minimum is None or known.minimum < 0:
        return []
    negative = int((amounts < 0).sum())
    if not negative or answers.sign is not None:
        return []
    if told or negative <= FEW_REFUNDS * int((amounts != 0).sum()):
        return [
            (
                f"{negative:,} amounts are negative; the detector's training data had none: their probabilities are "
                "uncertain."
            )
        ]
    cells = amounts[~np.isnan(amounts)][:EXAMPLES]
    question = Question(
        "sign",
        name,
        f"{name} is negative in {negative:,} rows: in many banks' files that is money that leaves the account.",
        tuple(
            Reading(
                answer,
                words,
                tuple((f"{cell:g}", f"{0 - cell if answer == 'turn' else cell:g}") for cell in cells),
            )
            for answer, words in (
                ("turn", "what leaves the account is negative"),
                ("keep", "what leaves the account is positive, and negative ones are refunds"),
            )
        ),
    )
    raise Undecided(
        question.words + " The detector learned from amounts that are never negative.",
        where=f"column {name}",
        remedy="Say which one is meant; on the command line with --sign turn (what leaves the account is negative) "
        "or --sign keep (it is positive, and negative ones are refunds).",
        questions=(question,),
    )
