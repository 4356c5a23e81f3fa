"""One file through the line: intake, the scoring pass, reasons of its strongest rows, and the outcome on disk."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping as Given
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from screening.detectors.vectorizer import Inputs, Seen
from screening.errors import BadFile, BadTransaction, CellProblem
from screening.intake import NOTHING_SAID, Answers, Kind, open_transactions
from screening.ledger.history import row_hashes
from screening.rules.files import Collected, FileRules, FileVerdicts
from screening.scoring import drift, metrics, reason_codes, thresholds
from screening.scoring.score import Probabilities, Scored, own_probabilities, score
from screening.scoring.thresholds import Limits
from screening.transactions.schema import ColumnContract, Matrix, Transactions
from screening.uploads import results
from screening.uploads.missing_past import MissingPast, missing_past
from screening.uploads.pace import COMPARING, EXPLAINING, SCORING
from screening.uploads.questions.amounts import check_sign, check_unit
from screening.uploads.questions.detector_choice import Choice
from screening.uploads.upload_folder import Folder, Reader

if TYPE_CHECKING:
    from screening.detectors.detector import Detector
    from screening.detectors.registry import Detectors
    from screening.intake import Batch, Forms, Words
    from screening.ledger.history import Context
    from screening.uploads.questions.column_mappings import Mapping

# Flagged rows that get reasons, strongest first: nobody reads more, and each costs a scoring of its own.
MOST_EXPLAINED = 5000
# Of larger batches every sixteenth row is compared with the training data, of smaller ones each.
EVERY, MANY = 16, 2000
MOST_LISTED = 1000
"""Problems that are kept of rows set aside; the count is always whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Result of a screening, as it goes into the history."""

    detector: str
    fingerprint: str
    rows: int
    flagged: int
    set_aside: int
    quality: dict[str, Any] | None
    notes: list[str]
    threshold: float
    block: float | None
    blocked: int | None
    """Flagged rows at or above ``block``; ``None`` without one."""


@dataclass(slots=True)
class _Collected:
    """Data kept of each batch: a few numbers a row, and what the net saw of flagged rows, for their reasons."""

    probability: list[NDArray[np.float32]] = field(default_factory=list)
    sampled: list[Matrix] = field(default_factory=list)
    offsets: list[NDArray[np.int64]] = field(default_factory=list)
    amount: list[NDArray[np.float64]] = field(default_factory=list)
    time: list[NDArray[np.float64]] = field(default_factory=list)
    label: list[NDArray[np.int8]] = field(default_factory=list)
    suspect_rows: list[NDArray[np.int64]] = field(default_factory=list)
    suspects: list[NDArray[Any]] = field(default_factory=list)
    facts: Collected | None = None
    """Facts that rules ask for."""
    missing: MissingPast | None = None
    scored_rows: NDArray[np.int64] | None = None
    """The rows that ``missing`` is about, from 0."""
    problems: list[CellProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    set_aside: int = 0
    sign_told: bool = False
    words: Given[str, Words] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of some consecutive batches that aren't set aside: what is scored at once."""

    transactions: Transactions
    labels: NDArray[np.int8] | None
    """(rows,) or ``None`` unless every batch has labels."""
    numbers: NDArray[np.int64]
    """Numbers of the rows in the file, from 1, (rows,)."""
    first: int
    """The number of the first row of the batches, whether it is set aside or not."""
    count: int
    """Number of rows in the batches, with those set aside."""

    @classmethod
    def of(cls, batches: list[Batch]) -> _Rows:
        """Take the good rows out of batches; no copy is made of a single batch without a bad one."""
        first, good = batches[0].first_row, [~batch.bad for batch in batches]
        values = [
            batch.transactions.values if keep.all() else batch.transactions.values[keep]
            for batch, keep in zip(batches, good, strict=True)
        ]
        known = [
            batch.labels[keep] for batch, keep in zip(batches, good, strict=True) if batch.labels is not None
        ]
        kept = np.concatenate(good)
        return cls(
            Transactions(
                batches[0].transactions.columns, np.concatenate(values) if values[1:] else values[0]
            ),
            np.concatenate(known) if len(known) == len(batches) else None,
            np.flatnonzero(kept) + first,
            first,
            len(kept),
        )


def screen(
    folder: Folder,
    kind: Kind,
    detectors: Detectors,
    *,
    wanted: str | None,
    set_aside: bool,
    threshold: float,
    on_batch: Callable[[int], None],
    on_stage: Callable[[str, int, int], None] = lambda _doing, _rows, _of: None,
    context: Callable[[Detector], Context] | None = None,
    remember: bool = False,
    recall: Callable[[list[str]], Mapping | None] = lambda _header: None,
    on_choice: Callable[[Detector], None] = lambda _detector: None,
    probabilities: Probabilities = own_probabilities,
    answers: Answers = NOTHING_SAID,
    recall_unit: Callable[[list[str]], str | None] = lambda _header: None,
    rules: FileRules | None = None,
    limits: Callable[[str], Limits] | None = None,
) -> Found:
    """Screen the file in ``folder`` and leave the outcome beside it.

    A file whose cells have one meaning each is read once, while it arrives; any other is looked over as a whole first.

    Rows that know nothing of each other are scored batch by batch as they arrive; where they tell of each other, the
    file is one batch, scored when its last row is there.

    ``on_batch`` is called with the number of bytes of the file that were read, and may raise to stop. ``on_stage`` is
    told what is done (:mod:`screening.uploads.pace`), with how many rows of how many. ``context``
    gives the rows that a detector has seen, if earlier rows shall count; with ``remember`` it gets those of this file.
    ``recall`` gives what was said of a header's columns; it is asked when they aren't called as a detector calls them.
    ``recall_unit`` gives what was said of the unit of its amounts.
    ``on_choice`` is told the detector as soon as the header is read, and ``context`` is asked when the last row is.
    ``probabilities`` is asked for the probabilities of some rows. ``answers`` say how columns are meant that can be
    read in two ways. ``rules`` have a say in the flags. ``limits`` gives the thresholds of the detector that is
    chosen, by its name; without it ``threshold`` holds, whichever that is.

    Raises:
        BadFile: the file can't be screened; nothing is left but the file.
    """
    choose = partial(Choice, detectors, wanted, recall, unit=answers.unit, recall_unit=recall_unit)
    reader = Reader(folder, kind, choose, answers, waiting=lambda: on_batch(0))
    line = _Line(
        folder,
        kind,
        set_aside,
        # one answer, whatever is applied meanwhile
        cache(limits or (lambda _name: Limits(threshold))),
        on_batch,
        on_stage,
        context,
        remember,
        probabilities,
        answers,
        rules,
    )
    return reader.settled(lambda forms: line.run(choose(on_choice), forms))


@dataclass(frozen=True, slots=True)
class _Line:
    """One way of a file through the line: see :func:`screen`."""

    folder: Folder
    kind: Kind
    set_aside: bool
    limits: Callable[[str], Limits]
    on_batch: Callable[[int], None]
    on_stage: Callable[[str, int, int], None]
    context: Callable[[Detector], Context] | None
    remember: bool
    probabilities: Probabilities
    answers: Answers
    rules: FileRules | None

    def run(self, choice: Choice, forms: Forms | None) -> Found:
        collected = _Collected()
        waiting: list[Batch] = []
        self.on_batch(0)
        scoring = partial(score, probabilities=self.probabilities, explain=False)
        with self.folder.open() as stream:
            source = cast("BinaryIO", stream) if self.kind.streams else self.folder.input
            for batch in open_transactions(
                source,
                self.kind,
                choice,
                set_aside=self.set_aside,
                canonical=self.folder.canonical,
                waiting=lambda: self.on_batch(0),
                forms=forms,
                answers=self.answers,
            ):
                keep_batch(batch, choice.contract, collected)
                if len(collected.amount) == 1:
                    # it is asked before anything is scored
                    self._signs(choice, collected)
                if self.rules is not None and collected.facts is None:
                    collected.facts = Collected(self.rules.book.of(choice.detector))
                if choice.detector.vectorizer.looks_back:
                    waiting.append(batch)
                else:
                    score_rows(_Rows.of([batch]), self._scoring(scoring, choice, collected), collected)
                self.on_batch(stream.taken)
            collected.notes += choice.check_words(collected.words)
            if collected.amount:
                collected.notes += self._signs(choice, collected)
                amounts = np.concatenate(collected.amount)
                collected.notes += check_unit(choice, amounts, self.answers, collected.words)
            if waiting:
                self._score_whole(waiting, choice, scoring, collected, lambda: self.on_batch(stream.taken))
            taken = stream.taken
        collected.notes[:0] = choice.notes

        def told(rows: int, of: int) -> None:
            self.on_stage(EXPLAINING, rows, of)
            self.on_batch(taken)

        return _conclude(
            self.folder,
            choice,
            self.limits(choice.detector.name),
            collected,
            rules=self.rules,
            plain=forms is None,
            told=told,
        )

    def _scoring(
        self, scoring: Callable[..., Scored], choice: Choice, collected: _Collected
    ) -> Callable[..., Scored]:
        """Return what scores rows, and keeps the inputs that rules ask for."""
        kept = () if collected.facts is None else collected.facts.rules.places
        threshold = self.limits(choice.detector.name).review
        return partial(scoring, detector=choice.detector, threshold=threshold, kept=kept)

    def _signs(self, choice: Choice, collected: _Collected) -> list[str]:
        amounts = np.concatenate(collected.amount)
        return check_sign(choice.detector, amounts, self.answers, told=collected.sign_told)

    def _score_whole(
        self,
        waiting: list[Batch],
        choice: Choice,
        scoring: Callable[..., Scored],
        collected: _Collected,
        check: Callable[[], None],
    ) -> None:
        """Score a file whose rows tell of each other, when its last row is there. ``check`` may raise to stop."""
        rows = _Rows.of(waiting)
        waiting.clear()
        count = len(rows.numbers)
        self.on_stage(COMPARING, 0, count)
        check()
        seen = self.context(choice.detector) if self.context else None
        past = seen.past(rows.transactions.values) if seen else None
        if seen is not None and past is not None:
            collected.notes.append(f"{len(past.values):,} earlier rows were taken into account, {seen.told}.")
        definition = choice.detector.vectorizer.definition
        collected.missing = missing_past(
            choice.detector.contract,
            rows.transactions.values,
            None if past is None else past.values,
            seconds=0.0 if definition is None else definition.horizon,
        )
        collected.scored_rows = rows.numbers - 1
        collected.notes += note_repeated(rows.transactions.values)

        def on_block(done: int) -> None:
            self.on_stage(SCORING, done, count)
            check()

        whole = partial(
            self._scoring(scoring, choice, collected), history=Seen(rows.labels, past), on_block=on_block
        )
        score_rows(rows, whole, collected)
        if seen is not None and self.remember:
            seen.remember(self.folder.path.name, rows.transactions.values, rows.labels)


def note_repeated(values: Matrix) -> list[str]:
    """Say how many rows are equal to another one: to a detector that looks back each is a payment of its own."""
    count = len(values) - len(np.unique(row_hashes(values)))
    if not count:
        return []
    are = "1 row repeats" if count == 1 else f"{count:,} rows repeat"
    return [f"{are} another one in all columns that are needed, and counted as another payment."]


def keep_batch(batch: Batch, contract: ColumnContract, collected: _Collected) -> None:
    """Keep of a batch what is needed once the last row is there."""
    collected.offsets.append(batch.offsets)
    collected.sign_told, collected.words = batch.sign_told, batch.words
    step = EVERY if len(batch) >= MANY else 1
    collected.sampled.append(batch.transactions.values[np.flatnonzero(~batch.bad)[::step]])
    collected.set_aside += int(batch.bad.sum())
    collected.notes.extend(note for note in batch.notes if note not in collected.notes)
    collected.problems.extend(batch.problems[: MOST_LISTED - len(collected.problems)])
    for name, into in ((contract.amount, collected.amount), (contract.time, collected.time)):
        if name is not None:
            into.append(batch.transactions.column(name).copy())
    if batch.labels is not None:
        collected.label.append(batch.labels)


def score_rows(rows: _Rows, scoring: Callable[[Transactions], Scored], collected: _Collected) -> None:
    """Score some rows of a file, and keep what is needed when its last row is there."""
    try:
        scored = scoring(rows.transactions)
    except BadTransaction as problem:
        raise fault_of_file(problem, rows.numbers) from None
    probability = np.full(rows.count, np.nan, np.float32)
    probability[rows.numbers - rows.first] = scored.probabilities
    collected.probability.append(probability)
    collected.suspect_rows.append(rows.numbers[scored.flagged] - 1)
    collected.suspects.append(scored.suspects.values)
    if collected.facts is not None:
        collected.facts.add(rows.transactions, scored, rows.numbers - rows.first, rows.count)


def fault_of_file(problem: BadTransaction, numbers: NDArray[np.int64]) -> BadFile:
    """Say of the file what was said of some of its rows: a user counts the rows of the file, from 1."""
    moved = [
        replace(found, row=None if found.row is None else int(numbers[found.row - 1]))
        for found in problem.problems
    ]
    what, where = problem.what, problem.where
    if moved and moved[0].row is not None:
        first = moved[0]
        what = f"{first.column} in row {first.row}" if first.column else f"Row {first.row}"
        what += f" {first.problem}" + (f" ({first.value})." if first.value else ".")
        where = f"row {first.row}" + (f", column {first.column}" if first.column else "")
    return BadFile(what, where, problem.remedy, moved, problem.problem_count)


def _conclude(
    folder: Folder,
    choice: Choice,
    limits: Limits,
    collected: _Collected,
    *,
    rules: FileRules | None,
    plain: bool,
    told: Callable[[int, int], None],
) -> Found:
    detector = choice.detector
    probability = np.concatenate(collected.probability)
    amount, time = joined(collected.amount), joined(collected.time)
    label = joined(collected.label) if len(collected.label) == len(collected.offsets) else None
    threshold = limits.review
    flagged = thresholds.flag(probability, threshold)
    arrays: dict[str, NDArray[Any] | None] = {
        "probability": probability,
        "offsets": np.concatenate(collected.offsets),
        "amount": amount,
        "time": time,
        "label": label,
    }
    verdicts = None
    if collected.facts is not None and rules is not None:
        arrays |= collected.facts.arrays()
        verdicts = ask_rules(folder, choice, collected.facts, arrays, rules)
    if verdicts is not None:
        arrays["rule_hits"] = verdicts.hits
        flagged = verdicts.flagged(flagged)
    # beside the reasons, which need this thread's interpreters: a user waits for both, and another core is free
    with ThreadPoolExecutor(2, thread_name_prefix="conclude") as pool:
        saved = pool.submit(results.save_arrays, folder, arrays)
        quality_of = (
            pool.submit(metrics.measure, label, probability, flagged, amount) if label is not None else None
        )
        explained, effects = explain_strongest(detector, probability, collected, told)
        if verdicts is not None:
            explained = with_rules(explained, verdicts, flagged, probability)
        counts = drift.count(detector, np.concatenate(collected.sampled))
    saved.result()
    measured = None if quality_of is None else quality_of.result()
    meta = {
        "set_aside": [asdict(problem) for problem in collected.problems],
        "drift": drift.told(detector, counts),
        "counts": counts.as_dict,
        "columns": dict(choice.contract.aliases),
        "composed": {name: made.as_dict for name, made in choice.contract.composed},
        "plain": plain,
        **({} if collected.facts is None else collected.facts.told()),
        **({} if verdicts is None else {"rules": verdicts.told()}),
        "missing_past": missing_past_of(collected, label, flagged),
    }
    results.save_words(folder, explained, {row: effects[row] for row in explained if row in effects}, meta)
    return Found(
        detector=detector.name,
        fingerprint=detector.fingerprint,
        rows=len(probability),
        flagged=int(flagged.sum()),
        set_aside=collected.set_aside,
        quality=None if measured is None else measured.as_dict(),
        notes=[*detector.warnings, *collected.notes],
        threshold=threshold,
        block=limits.block,
        blocked=None
        if limits.block is None
        else int((flagged & thresholds.flag(probability, limits.block)).sum()),
    )


def missing_past_of(
    collected: _Collected, label: NDArray[np.int8] | None, flagged: NDArray[np.bool_]
) -> dict[str, Any] | None:
    """Return what is told of a missing past; ``None`` where little is missing."""
    missing, rows = collected.missing, collected.scored_rows
    if missing is None or rows is None or not missing.much:
        return None
    return missing.told(None if label is None else label[rows], flagged[rows])


def joined(parts: list[NDArray[Any]]) -> NDArray[Any] | None:
    """Return the parts as one array; ``None`` of none."""
    return np.concatenate(parts) if parts else None


def ask_rules(
    folder: Folder,
    choice: Choice,
    facts: Collected,
    arrays: dict[str, NDArray[Any] | None],
    rules: FileRules,
) -> FileVerdicts | None:
    """Ask the rules of all rows; ``None`` where none is to be asked. A row that was set aside fulfils none."""
    if not facts.rules.asked:
        return None
    from screening.rules.file_table import decide, table_of
    from screening.rules.row_texts import row_texts

    probability, offsets = arrays["probability"], arrays["offsets"]
    assert probability is not None
    assert offsets is not None
    texts = row_texts(
        folder.readable,
        offsets,
        contract=choice.detector.contract,
        called=dict(choice.contract.aliases),
        countries=rules.places.of(choice.detector),
        columns=facts.rules.known.texts,
        wanted={*facts.rules.needed, "currency"},
    )
    seconds = arrays["time"] if choice.detector.contract.has_calendar else None
    table = table_of(
        facts.rules,
        probability=probability,
        amount=arrays["amount"],
        seconds=seconds,
        texts=texts,
        arrays=arrays,
    )
    found = decide(facts.rules, table, rules.instance)
    found.hits[~np.isfinite(probability)] = False
    return found


def with_rules(
    explained: dict[int, list[str]],
    verdicts: FileVerdicts,
    flagged: NDArray[np.bool_],
    probability: NDArray[np.float32],
) -> dict[int, list[str]]:
    """Return the reasons of flagged rows with those of rules that flag them."""
    found = {row: reasons for row, reasons in explained.items() if flagged[row]}
    by_rules = verdicts.set_by_rules()
    for row in by_rules[np.argsort(-probability[by_rules], kind="stable")][:MOST_EXPLAINED].tolist():
        found[row] = [*found.get(row, ()), *verdicts.reasons(row)]
    return found


def explain_strongest(
    detector: Detector,
    probability: NDArray[np.float32],
    collected: _Collected,
    told: Callable[[int, int], None],
) -> tuple[dict[int, list[str]], dict[int, list[float]]]:
    """Return the texts of the reasons of the strongest flagged rows, and their effects, by row from 0.

    ``told`` is called with how many rows of how many are explained, and may raise to stop.
    """
    rows = np.concatenate(collected.suspect_rows)
    strongest = np.argsort(-probability[rows], kind="stable")[:MOST_EXPLAINED]
    values = np.concatenate(collected.suspects)[strongest]
    found: list[list[reason_codes.Reason]] = []
    told(0, len(values))
    for start in range(0, len(values), reason_codes.ROWS):
        found += reason_codes.explain(detector, Inputs(values[start : start + reason_codes.ROWS]))
        told(len(found), len(values))
    by_row = dict(zip(rows[strongest].tolist(), found, strict=True))
    return (
        {row: [reason.text for reason in reasons] for row, reasons in by_row.items()},
        {row: [round(reason.effect, 4) for reason in reasons] for row, reasons in by_row.items()},
    )
