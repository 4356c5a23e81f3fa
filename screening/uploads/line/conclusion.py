"""End of the line: the rules are asked, the strongest rows explained, and all of it is left beside the file."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from screening.detectors.vectorizer import Inputs
from screening.rules import files
from screening.rules.files import FileRules, FileVerdicts
from screening.scoring import drift, metrics, reason_codes, thresholds
from screening.scoring.thresholds import Thresholds
from screening.uploads import results
from screening.uploads.line.collected import CollectedRows, joined
from screening.uploads.questions.detector_choice import DetectorChoice
from screening.uploads.upload_folder import UploadFolder

if TYPE_CHECKING:
    from screening.detectors.detector import Detector

# Flagged rows that get reasons, strongest first: nobody reads more, and each costs a scoring of its own.
MOST_EXPLAINED = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreeningSummary:
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


def conclude(
    folder: UploadFolder,
    choice: DetectorChoice,
    limits: Thresholds,
    collected: CollectedRows,
    *,
    draft: Path,
    rules: FileRules | None,
    plain: bool,
    told: Callable[[int, int], None],
) -> ScreeningSummary:
    """Flag, explain and measure what was collected, and leave it in ``draft``.

    Args:
        folder: of the file.
        choice: its detector, with the columns that it takes.
        limits: the thresholds.
        collected: what was kept of its batches.
        draft: of the outcome.
        rules: have a say in the flags.
        plain: every cell had one meaning, so that nothing was settled.
        told: called with how many rows of how many are explained; may raise to stop.
    """
    detector = choice.detector
    arrays: dict[str, NDArray[Any] | None] = {
        "probability": (probability := np.concatenate(collected.probability)),
        "offsets": np.concatenate(collected.offsets),
        "amount": (amount := collected.amounts),
        "time": joined(collected.time),
        "label": (label := collected.labels),
    }
    verdicts = None
    if collected.facts is not None and rules is not None:
        arrays |= collected.facts.arrays()
        verdicts = ask_rules(folder, choice, collected.facts, arrays, rules)
    flagged = thresholds.flag(probability, limits.review)
    if verdicts is not None:
        arrays["rule_hits"] = verdicts.hits
        flagged = verdicts.flagged(flagged)
    # beside the reasons, which need this thread's interpreters: a user waits for both, and another core is free
    with ThreadPoolExecutor(2, thread_name_prefix="conclude") as pool:
        saved = pool.submit(results.save_arrays, draft, arrays)
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
        "missing_past": collected.missing_past(label, flagged),
    }
    results.save_words(draft, explained, {row: effects[row] for row in explained if row in effects}, meta)
    blocked = (
        None if limits.block is None else int((flagged & thresholds.flag(probability, limits.block)).sum())
    )
    return ScreeningSummary(
        detector=detector.name,
        fingerprint=detector.fingerprint,
        rows=len(probability),
        flagged=int(flagged.sum()),
        set_aside=collected.set_aside,
        quality=None if measured is None else measured.as_dict(),
        notes=[*detector.warnings, *collected.notes],
        threshold=limits.review,
        block=limits.block,
        blocked=blocked,
    )


def ask_rules(
    folder: UploadFolder,
    choice: DetectorChoice,
    facts: files.CollectedFacts,
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
    collected: CollectedRows,
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
