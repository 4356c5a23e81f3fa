"""One file through the line: intake, the scoring pass, reasons of its strongest rows, and the outcome on disk."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, BinaryIO, cast

import numpy as np

from screening.detectors.vectorizer import History
from screening.intake import FileKind, open_transactions
from screening.ledger.history import row_hashes
from screening.rules import files
from screening.scoring.score import Scored, score
from screening.transactions.amount_evidence import AmountEvidence
from screening.transactions.schema import Matrix
from screening.uploads import results
from screening.uploads.line.collected import CollectedRows
from screening.uploads.line.conclusion import ScreeningSummary, conclude
from screening.uploads.line.missing_past import missing_past
from screening.uploads.line.order import ScreeningOrder
from screening.uploads.line.pace import COMPARING, EXPLAINING, SCORING
from screening.uploads.line.rows import GoodRows
from screening.uploads.questions.amounts import check_sign, check_unit, seen_of
from screening.uploads.questions.detector_choice import DetectorChoice
from screening.uploads.upload_folder import FileReader, UploadFolder

if TYPE_CHECKING:
    from screening.detectors.registry import Detectors
    from screening.intake import Batch, Forms


def screen(
    folder: UploadFolder, kind: FileKind, detectors: Detectors, order: ScreeningOrder
) -> ScreeningSummary:
    """Screen the file in ``folder`` and leave the outcome beside it.

    A file whose cells have one meaning each is read once, while it arrives; any other is looked over as a whole first.

    Rows that know nothing of each other are scored batch by batch as they arrive; where they tell of each other, the
    file is one batch, scored when its last row is there.

    Raises:
        BadFile: the file can't be screened; nothing is left but the file.
    """
    choose = partial(
        DetectorChoice,
        detectors,
        order.wanted,
        order.recall,
        unit=order.answers.unit,
        recall_unit=order.recall_unit,
    )
    reader = FileReader(folder, kind, choose, order.answers, waiting=lambda: order.on_batch(0))
    return reader.settled(
        lambda forms: ScreeningRun(folder, kind, order, choose(order.on_choice), forms).run()
    )


class ScreeningRun:
    """One way of reading the file, and what it comes to.

    Args:
        folder: of the file.
        kind: of the file.
        order: how it is screened.
        choice: chooses the detector by the header, which isn't read yet.
        forms: of its cells; ``None`` while each of them has one meaning.
    """

    def __init__(
        self,
        folder: UploadFolder,
        kind: FileKind,
        order: ScreeningOrder,
        choice: DetectorChoice,
        forms: Forms | None,
    ) -> None:
        self._folder, self._kind, self._order, self._choice, self._forms = folder, kind, order, choice, forms
        # one answer, whatever is applied meanwhile
        self._limits = cache(order.limits)
        self._collected = CollectedRows()
        self._waiting: list[Batch] = []
        """Batches of a file whose rows tell of each other."""

    def run(self) -> ScreeningSummary:
        """Read, score and explain the rows, and leave what was found in the folder."""
        folder, order, choice, collected = self._folder, self._order, self._choice, self._collected
        order.on_batch(0)
        with folder.open() as stream:
            batches = open_transactions(
                cast("BinaryIO", stream) if self._kind.streams else folder.input,
                self._kind,
                choice,
                set_aside=order.set_aside,
                canonical=folder.canonical,
                waiting=lambda: order.on_batch(0),
                forms=self._forms,
                answers=order.answers,
            )
            for batch in batches:
                self._take(batch)
                order.on_batch(stream.taken)
            collected.notes += choice.check_words(collected.words)
            if (read := collected.amounts) is not None:
                amounts, other = seen_of(choice, read)
                collected.notes += self._signs(amounts)
                collected.notes += check_unit(choice, amounts, order.answers, collected.words, other)
            if self._waiting:
                self._score_whole(lambda: order.on_batch(stream.taken))
            taken = stream.taken
        collected.notes[:0] = choice.notes

        def told(rows: int, of: int) -> None:
            order.on_stage(EXPLAINING, rows, of)
            order.on_batch(taken)

        limits = self._limits(choice.detector.name)
        with results.drafted(folder) as draft:
            found = conclude(
                folder,
                choice,
                limits,
                collected,
                draft=draft,
                rules=order.rules,
                plain=self._forms is None,
                told=told,
            )
            order.on_outcome()
        return found

    def _take(self, batch: Batch) -> None:
        """Keep a batch, and score it unless its rows must wait for the last one."""
        order, choice, collected = self._order, self._choice, self._collected
        collected.keep(batch, choice.contract)
        if len(collected.amount) == 1:
            # it is asked before anything is scored
            self._signs(AmountEvidence.of(collected.amount[0]))
        if order.rules is not None and collected.facts is None:
            collected.facts = files.CollectedFacts(order.rules.book.of(choice.detector))
        if choice.detector.vectorizer.looks_back:
            self._waiting.append(batch)
        else:
            collected.score(GoodRows.of([batch]), self._scoring())

    def _signs(self, amounts: AmountEvidence) -> list[str]:
        return check_sign(self._choice.detector, amounts, self._order.answers, told=self._collected.sign_told)

    def _scoring(self) -> Callable[..., Scored]:
        """Return what scores rows, and keeps the inputs that rules ask for."""
        facts, detector = self._collected.facts, self._choice.detector
        return partial(
            score,
            detector=detector,
            threshold=self._limits(detector.name).review,
            probabilities=self._order.probabilities,
            kept=() if facts is None else facts.rules.places,
            explain=False,
        )

    def _score_whole(self, check: Callable[[], None]) -> None:
        """Score a file whose rows tell of each other, when its last row is there. ``check`` may raise to stop."""
        order, detector, collected = self._order, self._choice.detector, self._collected
        rows = GoodRows.of(self._waiting)
        self._waiting.clear()
        count, values = len(rows.numbers), rows.transactions.values
        order.on_stage(COMPARING, 0, count)
        check()
        seen = None if order.context is None else order.context(detector)
        past = None if seen is None else seen.past(values)
        if seen is not None and past is not None:
            collected.notes.append(f"{len(past.values):,} earlier rows were taken into account, {seen.told}.")
        definition = detector.vectorizer.definition
        collected.missing = missing_past(
            detector.contract,
            values,
            None if past is None else past.values,
            seconds=0.0 if definition is None else definition.horizon,
        )
        collected.scored_rows = rows.numbers - 1
        collected.notes += note_repeated(values)

        def on_block(done: int) -> None:
            order.on_stage(SCORING, done, count)
            check()

        history = History(rows.labels, past)
        collected.score(rows, partial(self._scoring(), history=history, on_block=on_block))
        if seen is not None and order.remember:
            seen.remember(self._folder.path.name, values, rows.labels)


def note_repeated(values: Matrix) -> list[str]:
    """Say how many rows are equal to another one: to a detector that looks back each is a payment of its own."""
    count = len(values) - len(np.unique(row_hashes(values)))
    if not count:
        return []
    are = "1 row repeats" if count == 1 else f"{count:,} rows repeat"
    return [f"{are} another one in all columns that are needed, and counted as another payment."]
