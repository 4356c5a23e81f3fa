"""Looks at the rows of a training file before anything is learned of them, fixes what it can, and says what it did.

Cells that can't be read never get here: the intake has set their rows aside, and the report counts them too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from screening.columns.leakage import Suspicion, judge
from screening.errors import CellProblem
from screening.transactions.schema import CellKind, Column, ColumnContract, Matrix, Role

# Up to this share of rows an odd value is an error to be dropped; more of them are how the file is.
RARE = 0.01
EARLIEST = 631_152_000.0  # 1990-01-01
DAY = 86_400.0
SAMPLE = 200_000
SHOWN = 20
MOST_FAULTS = 3
"""Faults of rows that couldn't be read that are named."""
Labels = NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class QualityFinding:
    """One thing that was found, in how many rows, and what was done about it."""

    kind: str
    column: str | None
    rows: int
    done: str
    words: str
    frauds: int = 0
    """Those of the rows that were left out and are fraud."""


@dataclass(frozen=True, slots=True)
class CleanedRows:
    """Rows to learn from, bool (rows,), columns to leave out, and the report as JSON types."""

    keep: NDArray[np.bool_]
    dropped: tuple[str, ...]
    report: dict[str, Any] = field(repr=False)


def examine(
    contract: ColumnContract,
    values: Matrix,
    label: Labels,
    *,
    keep_leaks: bool = False,
    chosen: Collection[str] = (),
    set_aside: int = 0,
    set_aside_frauds: int = 0,
    problems: Sequence[CellProblem] = (),
    guessed_out: Sequence[tuple[str, str]] = (),
) -> CleanedRows:
    """Look at rows of a contract.

    Args:
        contract: names the columns of ``values``.
        values: float64 (rows, columns), NaN for a blank.
        label: int8 (rows,), -1 for none.
        keep_leaks: learn from columns that alone tell the label.
        chosen: columns whose role was chosen by a person: they are kept even then.
        set_aside: rows that couldn't be read.
        set_aside_frauds: those of them whose label says fraud.
        problems: some of what was wrong with them.
        guessed_out: columns that aren't used, each with the reason.
    """
    keep = np.ones(len(values), bool)
    findings = []
    if set_aside:
        findings.append(
            QualityFinding(
                "unreadable",
                None,
                set_aside,
                "left out",
                f"{set_aside:,} rows, {set_aside_frauds:,} of them fraud, can't be read{excerpt_faults(problems)}.",
                set_aside_frauds,
            )
        )
    findings += leave_out_unlabelled(contract, label, keep)
    frauds = label == 1
    findings += find_duplicates(values, label, keep)
    for place, column in enumerate(contract.parts()):
        findings += examine_column(column, values[:, place], frauds, keep)
    findings += find_late_moments(contract, values, frauds, keep)
    constant = find_constant(contract, values, keep)
    kept = contract.columns if keep_leaks else chosen
    leaks = find_leaks(contract, values, label, keep, kept)
    findings += constant + leaks
    left_out = [leak.column for leak in leaks if leak.kind == Suspicion.LEAK and leak.column not in kept]
    out = [finding.column for finding in constant] + left_out
    report = {
        "rows": len(values) + set_aside,
        "rows_learned_from": int(keep.sum()),
        "frauds": int(frauds.sum()) + set_aside_frauds,
        "frauds_learned_from": int((frauds & keep).sum()),
        "findings": [asdict(finding) for finding in findings],
        "unreadable": [asdict(problem) for problem in problems[:SHOWN]],
        "unused": [{"column": name, "reason": reason} for name, reason in guessed_out],
    }
    return CleanedRows(keep, tuple(name for name in out if name is not None), report)


def leave_out_unlabelled(
    contract: ColumnContract, label: Labels, keep: NDArray[np.bool_]
) -> list[QualityFinding]:
    """Leave out rows without a label, in ``keep``, and report them."""
    blank = label < 0
    keep &= ~blank
    count = int(blank.sum())
    words = f"{count:,} rows have no {contract.label}."
    return [QualityFinding("no label", contract.label, count, "left out", words)] if count else []


def find_duplicates(values: Matrix, label: Labels, keep: NDArray[np.bool_]) -> list[QualityFinding]:
    """Return rows that repeat another one in every column that is used; the first is kept."""
    whole = np.column_stack([np.where(np.isnan(values), np.inf, values), label])
    _, first = np.unique(whole, axis=0, return_index=True)
    again = np.ones(len(values), bool)
    again[first] = False
    again &= keep
    count = int(again.sum())
    if not count:
        return []
    words = f"{count:,} rows repeat an earlier one in every column that is used."
    if count > RARE * len(values):
        return [QualityFinding("duplicates", None, count, "kept: so many are how the file is", words)]
    lost = int((again & (label == 1)).sum())
    keep &= ~again
    return [
        QualityFinding(
            "duplicates", None, count, "left out, the first of each kept", _with_frauds(words, lost), lost
        )
    ]


def _with_frauds(words: str, frauds: int) -> str:
    return f"{words[:-1]}; {frauds:,} of them {'is' if frauds == 1 else 'are'} fraud."


def excerpt_faults(problems: Sequence[CellProblem]) -> str:
    """Return some of what was wrong with rows that couldn't be read, each fault once."""
    faults = dict.fromkeys(f"{one.column or 'a row'} {one.problem}" for one in problems)
    shown = ", ".join(list(faults)[:MOST_FAULTS])
    return f" ({shown}{', …' if len(faults) > MOST_FAULTS else ''})" if faults else ""


def examine_column(
    column: Column, values: NDArray[np.float64], frauds: NDArray[np.bool_], keep: NDArray[np.bool_]
) -> list[QualityFinding]:
    """Report what is blank or odd in one column, and leave rows out, in ``keep``."""
    found = []
    blank = int(np.isnan(values).sum())
    if blank:
        done = (
            "filled with the usual value, and marked"
            if column.kind in (CellKind.NUMBER, CellKind.LENGTH)
            else "taken as a value"
        )
        found.append(
            QualityFinding("missing", column.name, blank, done, f"{column.name} is blank in {blank:,} rows.")
        )
    if column.role is Role.AMOUNT:
        found += report_odd("negative", column.name, values < 0, keep, "is negative", frauds)
    if column.kind is CellKind.TIME and not (column.role is Role.MOMENT and are_births(values)):
        with np.errstate(invalid="ignore"):
            early = values < EARLIEST
            usual = np.nanmedian(values) if len(values) else 0.0
            late = values > usual + 10 * 366 * DAY
        says = "lies before 1990 or ten years ahead of most"
        found += report_odd("impossible time", column.name, early | late, keep, says, frauds)
    return found


def are_births(values: NDArray[np.float64]) -> bool:
    """Return whether dates are of so long ago that those before 1990 are no mistakes: dates of birth."""
    with np.errstate(invalid="ignore"):
        return bool((values < EARLIEST).mean() > RARE) if len(values) else False


def report_odd(  # noqa: PLR0917 -- what is odd, and what to say of it
    kind: str,
    name: str,
    odd: NDArray[np.bool_],
    keep: NDArray[np.bool_],
    says: str,
    frauds: NDArray[np.bool_],
) -> list[QualityFinding]:
    """Report odd cells of a column; where they are rare, leave their rows out, in ``keep``."""
    count = int((odd & keep).sum())
    if not count:
        return []
    if count > RARE * len(odd):
        return [
            QualityFinding(
                kind, name, count, "kept: so many are how the file is", f"{name} {says} in {count:,} rows."
            )
        ]
    lost = int((odd & keep & frauds).sum())
    keep &= ~odd
    words = _with_frauds(f"{name} {says} in {count:,} rows.", lost)
    return [QualityFinding(kind, name, count, "left out", words, lost)]


def find_late_moments(
    contract: ColumnContract, values: Matrix, frauds: NDArray[np.bool_], keep: NDArray[np.bool_]
) -> list[QualityFinding]:
    """Return moments, such as a sign-up, that come after the transaction."""
    if contract.time is None:
        return []
    time = values[:, contract.columns.index(contract.time)]
    found = []
    for place, column in enumerate(contract.parts()):
        if column.role is Role.MOMENT:
            with np.errstate(invalid="ignore"):
                after = values[:, place] > time
            found += report_odd(
                "impossible order", column.name, after, keep, f"comes after {contract.time}", frauds
            )
    return found


def find_constant(contract: ColumnContract, values: Matrix, keep: NDArray[np.bool_]) -> list[QualityFinding]:
    """Report columns that have one value in all rows that are kept."""
    found = []
    for place, name in enumerate(contract.columns):
        kept = values[keep, place]
        if (
            len(kept)
            and name != contract.time
            and (np.isnan(kept).all() or np.nanmin(kept) == np.nanmax(kept))
        ):
            if np.isnan(kept).any() and not np.isnan(kept).all():
                # there or not there: that is two values
                continue
            words = f"{name} says the same in every row."
            found.append(QualityFinding("constant", name, len(kept), "column left out", words))
    return found


def find_leaks(
    contract: ColumnContract,
    values: Matrix,
    label: Labels,
    keep: NDArray[np.bool_],
    kept: Collection[str],
) -> list[QualityFinding]:
    """Report columns that tell the label too well."""
    rows = sample_rows(np.flatnonzero(keep), label)
    found = []
    for place, column in enumerate(contract.parts()):
        if column.role is Role.TIME:
            continue
        verdict = judge(column.name, column.kind, values[rows, place], label[rows])
        if verdict is None:
            continue
        done = "kept"
        if verdict.suspicion is Suspicion.LEAK:
            done = "kept, as was asked" if column.name in kept else "column left out"
        words = f"{column.name} {verdict.words}."
        found.append(QualityFinding(verdict.suspicion.value, column.name, int(keep.sum()), done, words))
    return found


def sample_rows(rows: NDArray[np.int64], label: Labels) -> NDArray[np.int64]:
    """Return all frauds and enough others."""
    if len(rows) <= SAMPLE:
        return rows
    fraud = rows[label[rows] == 1]
    other = np.random.default_rng(0).choice(rows[label[rows] == 0], SAMPLE, replace=False)
    return np.sort(np.r_[fraud[:SAMPLE], other])
