"""The receipt of one decision: the hashes of all that made it, and the proof that they make it once more.

What is kept with a decision is the fingerprint of its detector and the mark of its rules. What stands behind these is
in :mod:`screening.detectors.provenance`; its input is held by the hash of the segment that its row was sealed into, or
of the file that it came in. So no payment waits for a hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from screening.detectors.detector import Detector
from screening.detectors.provenance import Provenance
from screening.detectors.registry import Detectors
from screening.detectors.vectorizer import History
from screening.errors import ScreeningError
from screening.ledger.fields import RULES_MARK
from screening.ledger.identity import TransactionId
from screening.ledger.ledger import Ledger
from screening.ledger.tables import FILE
from screening.rules.live import asked_again
from screening.rules.ruleset import RuleBook, RuleSet
from screening.scoring.score import Probabilities, score
from screening.settings import Settings
from screening.uploads.replaying import transaction_of
from screening.uploads.screenings import Screening, Screenings
from screening.uploads.upload_folder import UploadFolder

# Probabilities of the same net may differ so much: rows that are scored together are summed in another order.
SAME = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Provenance of one decision. Hashes are SHA-256, hex; ``None`` where nothing was noted, or nothing of the kind
    was.
    """

    row: dict[str, Any]
    """Of the ledger."""
    net: str | None
    vectorizer: str | None
    rules: str | None
    """Of what all rules said that were asked."""
    ruled: Sequence[dict[str, Any]]
    """Verdict of each of these."""
    input: str | None
    """Of the transaction as it came, or of the file that it came in."""
    segment: str | None
    """The name of the segment that the row appears in; ``None`` while it waits to be sealed."""
    segment_hash: str | None


@dataclass(frozen=True, slots=True)
class ReceiptComparison:
    """One thing that has to be the same."""

    what: str
    was: str
    now: str
    same: bool | None
    """``None`` where it can't be said."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class ReplayedDecision:
    """Result of scoring a transaction again."""

    checks: Sequence[ReceiptComparison]

    @property
    def same(self) -> bool:
        """Return whether all of it is the same, and all of it could be looked at."""
        return all(each.same for each in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptServices:
    """Services that receipts are written with."""

    settings: Settings
    ledger: Ledger
    detectors: Detectors
    screenings: Screenings
    rules: RuleBook
    provenance: Provenance
    probabilities: Probabilities

    def receipt(self, transaction: TransactionId, owner: str | None) -> Receipt | None:
        """Return the receipt of a decision; ``None`` where there is none that may be seen.

        Args:
            transaction: its id.
            owner: whose rows may be seen; ``None`` for everybody's.
        """
        row = self.ledger.questions.one(transaction, owner, facts=[RULES_MARK])
        if row is None:
            return None
        made = self.provenance.of(row["fingerprint"])
        rules = None if row[RULES_MARK] is None else self.provenance.of(row[RULES_MARK])
        segment = self.ledger.questions.segment_of(transaction)
        return Receipt(
            row=row,
            net=None if made is None else made.told["net"],
            vectorizer=None if made is None else made.told["vectorizer"],
            rules=row[RULES_MARK],
            ruled=[] if rules is None else rules.told["rules"],
            input=self._input(row),
            segment=None if segment is None else segment.name,
            segment_hash=None if segment is None else segment.sha256,
        )

    def replay(self, receipt: Receipt, seen: Callable[[Detector], History]) -> ReplayedDecision:
        """Score a transaction again with the very artefacts, and hold all of it against its receipt.

        Args:
            receipt: the decision's.
            seen: gives what its detector looks back on.
        """
        checks = [self._segment(receipt)]
        if receipt.row["source"] == FILE:
            checks.append(self._file(receipt))
        detector, found = self._artefacts(receipt)
        checks += found
        if detector is None:
            return ReplayedDecision(checks)
        rules, found = self._rules(receipt, detector)
        checks += found
        return ReplayedDecision([*checks, *self._scored(receipt, detector, seen(detector), rules)])

    def _input(self, row: dict[str, Any]) -> str | None:
        if row["values"] is not None:
            return hashlib.sha256(row["values"].encode()).hexdigest()
        screening = self._screening(row)
        return None if screening is None else screening.sha256

    def _screening(self, row: dict[str, Any]) -> Screening | None:
        return self.screenings.get(row["screening"]) if row["screening"] else None

    def _segment(self, receipt: Receipt) -> ReceiptComparison:
        """Hold the segment of the row, with its values, against the manifest."""
        what = "Row in the ledger"
        if receipt.segment is None:
            return ReceiptComparison(what, "", "", same=True, why="It waits to be sealed into a segment.")
        written = str(receipt.segment_hash)
        return _hashed(what, written, self.ledger.segments.path(receipt.segment).open)

    def _file(self, receipt: Receipt) -> ReceiptComparison:
        what, screening = "File", self._screening(receipt.row)
        if screening is None or screening.sha256 is None:
            return ReceiptComparison(what, "", "", same=None, why="Its screening was deleted.")
        folder = UploadFolder.kept(self.settings.instance, screening.id)
        if folder.tokens.exists():
            why = "Card numbers in it were replaced, and the upload wasn't kept."
            return ReceiptComparison(what, screening.sha256, "", same=None, why=why)
        return _hashed(what, screening.sha256, folder.arriving.open)

    def _artefacts(self, receipt: Receipt) -> tuple[Detector | None, list[ReceiptComparison]]:
        """Return the detector if it is the very one, and what was held against each other."""
        name, was = receipt.row["detector"], receipt.row["fingerprint"]
        try:
            detector = self.detectors.get(name)
        except ScreeningError as problem:
            return None, [ReceiptComparison("Detector", was, "", same=False, why=problem.what)]
        checks = []
        for what, noted, now in (
            ("Net", receipt.net, detector.model_sha256),
            ("Vectorizer", receipt.vectorizer, detector.vectorizer_sha256),
        ):
            if noted is not None:
                checks.append(
                    ReceiptComparison(
                        what, noted, now, same=noted == now, why="" if noted == now else "Other bytes."
                    )
                )
        same = detector.fingerprint == was
        why = "" if same else "It was trained again since; that one can't score this again."
        checks.append(
            ReceiptComparison("Detector's fingerprint", was, detector.fingerprint, same=same, why=why)
        )
        return detector if same else None, checks

    def _rules(self, receipt: Receipt, detector: Detector) -> tuple[RuleSet | None, list[ReceiptComparison]]:
        """Return the rules as they were, if all of them and their lists can be had."""
        if receipt.rules is None:
            return RuleSet(self.rules.of(detector).known), []
        noted = self.provenance.of(receipt.rules)
        if noted is None:
            return None, [
                ReceiptComparison("Rules", receipt.rules, "", same=None, why="What they said wasn't noted.")
            ]
        rules = self.rules.again(detector, noted.told)
        if rules.mark == receipt.rules:
            return rules, [ReceiptComparison("Rules", receipt.rules, rules.mark, same=True)]
        was, now = noted.told["lists"], rules.told.get("lists", {})
        changed = sorted(name for name in was if was[name] != now.get(name))
        listed = ", ".join(changed)
        why = f"Lists have changed since: {listed}." if changed else "One can't be read any more."
        return None, [ReceiptComparison("Rules", receipt.rules, rules.mark, same=False, why=why)]

    def _scored(
        self, receipt: Receipt, detector: Detector, seen: History, rules: RuleSet | None
    ) -> list[ReceiptComparison]:
        row = receipt.row
        was = row["probability"]
        try:
            scored = score(
                transaction_of(row, detector, self.settings.instance),
                detector,
                seen,
                threshold=row["threshold"],
                probabilities=self.probabilities,
                explain=False,
            )
        except ScreeningError as problem:
            return [ReceiptComparison("Probability", repr(was), "", same=None, why=problem.what)]
        now = float(scored.probabilities[0])
        same = abs(now - was) <= SAME
        looks = detector.vectorizer.looks_back
        why = (
            "" if same else "Its past has changed since." if looks else "The same bytes gave another number."
        )
        checks = [ReceiptComparison("Probability", repr(was), repr(now), same=same, why=why)]
        if rules is not None:
            checks += self._flagged(receipt, rules, now)
        return checks

    def _flagged(self, receipt: Receipt, rules: RuleSet, now: float) -> list[ReceiptComparison]:
        row = receipt.row
        net = bool(np.float32(now) >= np.float32(row["threshold"]))
        if not rules.mark:
            return [
                ReceiptComparison(
                    "Flagged", yes_or_no(flag=row["flagged"]), yes_or_no(flag=net), same=net == row["flagged"]
                )
            ]
        # Arrow, which not every process loads
        from screening.ledger.rows import fact_type

        wanted = [key for key in rules.needed if fact_type(key) is not None]
        origin = TransactionId(row["origin"], row["number"])
        whole = self.ledger.questions.one(origin, None, facts=wanted)
        if whole is None:
            return [
                ReceiptComparison(
                    "Flagged",
                    yes_or_no(flag=row["flagged"]),
                    "",
                    same=None,
                    why="The row has just left the ledger.",
                )
            ]
        verdict = asked_again(rules, whole, net=net)
        fired = sorted(row["rules"] or [])
        return [
            ReceiptComparison(
                "Rules that fired",
                names_or_none(fired),
                names_or_none(sorted(verdict.names)),
                sorted(verdict.names) == fired,
            ),
            ReceiptComparison(
                "Flagged",
                yes_or_no(flag=row["flagged"]),
                yes_or_no(flag=verdict.flagged),
                verdict.flagged == row["flagged"],
            ),
        ]


def _hashed(what: str, was: str, opened: Any) -> ReceiptComparison:
    try:
        with opened("rb") as file:
            now = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        return ReceiptComparison(what, was, "", same=None, why=f"It can't be read: {problem.strerror}.")
    return ReceiptComparison(what, was, now, same=was == now, why="" if was == now else "Other bytes.")


def yes_or_no(*, flag: bool) -> str:
    """Return a flag as a word."""
    return "yes" if flag else "no"


def names_or_none(names: Sequence[str]) -> str:
    """Return names as text: ``none`` without any."""
    return ", ".join(names) or "none"
