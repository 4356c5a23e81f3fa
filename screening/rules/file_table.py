"""Asks rules of the rows of a file, all at once, by the same SQL that is asked of the ledger.

It loads Arrow and DuckDB, which a process that only answers requests never needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from screening.ledger.fields import RULES_MARK, SHADOW_RULES
from screening.ledger.queries.engine import Engine
from screening.ledger.rows import times, units
from screening.rules.facts import TEXTS, WRITTEN, KnownFacts
from screening.rules.files import Bools, FileVerdicts
from screening.rules.language.sql import statement
from screening.rules.ruleset import RuleSet
from screening.rules.tables import Effect

# A file of ten million rows takes less.
ENOUGH_SECONDS = 60.0


def table_of(
    rules: RuleSet,
    *,
    probability: NDArray[np.float32],
    amount: NDArray[np.float64] | None,
    seconds: NDArray[np.float64] | None,
    texts: Mapping[str, pa.DictionaryArray],
    arrays: Mapping[str, NDArray[Any] | None],
) -> pa.Table:
    """Return the rows as the ledger would have them, as far as rules ask for them.

    Args:
        rules: that are to be asked.
        probability: (rows,)
        amount: (rows,)
        seconds: the transactions' own times since 1970, (rows,); ``None`` where they have no calendar.
        texts: (rows,) by field or key.
        arrays: of :meth:`screening.rules.files.CollectedFacts.arrays`.
    """
    needed = rules.needed
    names = {"columns": rules.columns, "inputs": rules.inputs}
    found: dict[str, pa.Array] = {
        "probability": pa.array(probability, pa.float32()),
        "event_time": times(seconds, len(probability)),
        "amount": units(amount, texts.get("currency"), len(probability)),
        **texts,
        **numbers_of(rules.known, names, arrays.get("fact_columns"), arrays.get("fact_inputs"), needed),
    }
    for key in {*TEXTS, *needed} - found.keys():
        text = key in TEXTS or key.startswith("t:")
        found[key] = pa.nulls(len(probability), pa.string() if text else pa.float64())
    return pa.table(found)


def numbers_of(
    known: KnownFacts,
    names: Mapping[str, Sequence[str]],
    columns: NDArray[np.float64] | None,
    inputs: NDArray[np.float32] | None,
    wanted: frozenset[str] | None = None,
) -> dict[str, pa.Array]:
    """Return the facts of a file's rows that are numbers, by key, null where one is missing.

    Args:
        known: the facts of the detector that scored it.
        names: the keys of ``columns`` and of ``inputs``.
        columns: float64 (rows, columns).
        inputs: float32 (rows, inputs), features as the net has them.
        wanted: which ones; ``None`` is all.
    """
    found = {}
    for which, matrix in (("columns", columns), ("inputs", inputs)):
        for place, key in enumerate(names[which]):
            if matrix is None or key not in known.numbers or (wanted is not None and key not in wanted):
                continue
            cells = np.asarray(matrix[:, place : place + 1])
            # one after the other: all of them at once would need much memory
            if which == "inputs":
                cells = known.quantities([key]).of(cells)
            flat = cells[:, 0].astype(np.float64)
            found[key] = pa.array(flat, pa.float64(), mask=~np.isfinite(flat))
    return found


def decide(rules: RuleSet, table: pa.Table, instance: Path) -> FileVerdicts:
    """Ask the rules of the rows of a file.

    Args:
        rules: those of the detector that scored it; one or more are asked.
        table: the rows: columns of the ledger and facts, as far as any rule asks for them.
        instance: the folder of the instance.

    Raises:
        TooMuch: it takes too long.
    """
    made = statement([rule.tree for rule in rules.asked], rules.entries, WRITTEN)
    answers = [f"coalesce({rule}, false) AS a{place}" for place, rule in enumerate(made.rules)]
    inner = f"SELECT {', '.join(made.conditions)} FROM rows_of_file"
    found = Engine(instance / "ledger", seconds=ENOUGH_SECONDS).columns(
        f"SELECT {', '.join(answers)} FROM ({inner})", made.given, {**made.lists, "rows_of_file": table}
    )
    hits = np.column_stack([answer.astype(np.bool_) for answer in found.values()])
    if len(hits) != len(table):
        raise ValueError("the rules weren't asked of each row")
    return FileVerdicts(rules, hits)


def columns_of(told: Mapping[str, Any], hits: Bools) -> dict[str, pa.Array]:
    """Return what the ledger keeps of the rules that were asked of some rows: ``rules``, the type of fraud, the shadow.

    Args:
        told: which rules, from :meth:`screening.rules.files.FileVerdicts.told`.
        hits: (rows, rules)
    """
    active, shadow = told["active"], told["shadow"]
    found: dict[str, pa.Array] = {}
    if active:
        found["rules"] = lists_of_names([name for name, _, _ in active], hits[:, : len(active)])
        types = np.full(len(hits), None, object)
        for wanted in (Effect.RAISE, Effect.FLAG):  # the later one goes first
            for place in reversed(range(len(active))):
                _, effect, kind = active[place]
                if effect == wanted and kind is not None:
                    types[hits[:, place]] = kind
        found["fraud_type"] = pa.array(types, pa.string())
    if shadow:
        found[SHADOW_RULES] = lists_of_names(shadow, hits[:, len(active) :])
    # a file of before this was noted has none
    if told.get("mark"):
        found[RULES_MARK] = pa.repeat(told["mark"], len(hits))
    return found


def lists_of_names(names: Sequence[str], hits: Bools) -> pa.Array:
    """Return lists of names (rows,), null for an empty one."""
    rows, places = np.nonzero(hits)
    counts = np.bincount(rows, minlength=len(hits))
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    values = pa.array(names, pa.string()).take(pa.array(places))
    return pa.ListArray.from_arrays(pa.array(offsets), values, mask=pa.array(counts == 0))
