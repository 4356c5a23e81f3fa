"""Pages: what one caller asked at a time, as it is answered and kept, one entry of the ledger."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from screening.ledger import identity
from screening.ledger.tail import Entry
from screening.ledger.velocity.entries import StaleRead, VelocityEntry
from screening.ledger.velocity.live_past import LivePast
from screening.realtime.answers import Decision, Decisions
from screening.realtime.entries import ReadTransactions, columns_of, known_labels
from screening.realtime.questions import Answer, DecisionRequest
from screening.rules.live import decide as ask_rules
from screening.rules.ruleset import RuleVerdict
from screening.scoring.score import Scored
from screening.scoring.thresholds import Thresholds
from screening.scoring.thresholds import flag as flagged_at
from screening.transactions.schema import Matrix, Transactions

_json = msgspec.json.Encoder().encode
NONE: Sequence[str] = ()
IN_WORK = (
    "What was asked before is still being read from the ledger: earlier transactions may be missing from this "
    "probability."
)


class Page:
    """Requests of one caller that are kept as one entry.

    Args:
        asked: each request's place, what it asks, and the question itself.
        values: their rows, float64 (rows, columns of the contract).
        scored: what was found of them.
    """

    __slots__ = ("_answers", "_asked", "_scored", "_values", "entry")

    def __init__(
        self, asked: Sequence[tuple[int, ReadTransactions, DecisionRequest]], values: Matrix, scored: Scored
    ) -> None:
        self._asked, self._values, self._scored = asked, values, scored
        self._answers: list[bytes] = []
        self.entry: Entry
        """Entry that the ledger keeps."""

    def told(self, kept: bytes | Exception) -> Iterator[tuple[int, Answer | None]]:
        """Yield the answer to each request, with its place, once the entry was kept or wasn't."""
        if isinstance(kept, bytes) and len(self._asked) > 1:
            yield from zip((place for place, _, _ in self._asked), self._answers, strict=True)
            return
        for place, _, _ in self._asked:
            yield place, None if isinstance(kept, StaleRead) else kept

    def fill(self, limits: Thresholds, live: LivePast | None, company: object, start: int) -> None:
        """Word the answers, and make the entry.

        Args:
            limits: the thresholds.
            live: what the rows looked back on, if they did.
            company: one object for all that were scored together.
            start: how many rows were scored before them.
        """
        question = self._asked[0][2]
        detector, caller = question.detector, question.caller
        now = time.time()
        origin = identity.new_origin(int(now * 1000))
        reads = [read for _, read, _ in self._asked]
        rows = Transactions(detector.contract.columns, self._values)
        kept = columns_of(reads, rows, self._scored, detector.contract, question.countries)
        decisions = self._decisions(origin, limits.review, [] if live is None or live.is_whole else [IN_WORK])
        if question.rules is not None and not isinstance(question.transactions, ReadTransactions):
            verdicts = ask_rules(
                question.rules,
                kept,
                question.transactions,
                rows,
                self._scored,
                countries=question.countries,
            )
            for decision, verdict in zip(decisions, verdicts, strict=True):
                _add_rules(decision, verdict)
        if limits.block is not None:
            for decision, stops in zip(
                decisions, flagged_at(self._scored.probabilities, limits.block).tolist(), strict=True
            ):
                if decision.fraud:
                    decision.action = "block" if stops else "review"
        kept.same |= {
            "source": caller.source,
            "origin": origin.hex(),
            "key": caller.key,
            "owner": caller.owner,
            "decided_at": int(now * 1e6),
            "detector": detector.name,
            "fingerprint": detector.fingerprint,
            "threshold": limits.review,
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
        found = [
            Decision(
                f"{prefix}{number:08x}",
                flag,
                probability,
                threshold,
                name,
                [reason.text for reason in reasons] if reasons else NONE,
                NONE,
                None,
            )
            for number, (probability, flag, reasons) in enumerate(
                zip(scored.probabilities.tolist(), scored.flagged.tolist(), scored.reasons, strict=True)
            )
        ]
        if said or any(scored.caveats):
            for decision, caveats in zip(found, scored.caveats, strict=True):
                if said or caveats:
                    decision.notes = [*said, *caveats]
        return found


def _add_rules(decision: Decision, verdict: RuleVerdict) -> None:
    decision.fraud, decision.rules, decision.fraud_type = verdict.flagged, verdict.names, verdict.fraud_type
    decision.reasons = [*decision.reasons, *verdict.reasons] if verdict.flagged else []
