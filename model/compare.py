"""A detector's net beside other models on the same rows and features: ``python -m model.compare FILE --label COLUMN``.

Measured twice: on the latest rows after learning from what came before, and on rows drawn at random. The second is
what most published figures are; it flatters, since rows of one fraudster, one device, one hour stand on both sides.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.data.order import DELAY, TrainingOrder
from model.evaluation.baselines import BASELINES, BOOSTED, TREATMENTS, Floats, Labels, treat
from model.evaluation.card_precision import card_precision
from model.evaluation.metrics import Resampled, curves, flagged, ranking, reliability
from model.evaluation.validation import LATER, plan
from model.fitting import PreparedRows, fit
from model.progress import silent
from model.recipes.blend import Blend, quick_blend
from model.recipes.recipe import Recipe
from model.testing import in_halves
from model.trainer import prepare
from screening.errors import ScreeningError
from screening.transactions.schema import Role

NET = "this net"
# Accuracy, precision, recall and F1 are taken here. Every model's scores are calibrated first, so this is the
# decision with the fewest errors for each of them.
DECIDED_AT = 0.5
DRAWS = 200
CARDS_A_DAY = 100
CARDS = ("card", "customer", "account", "client", "user")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Test:
    """One way to test: what is learned from, what is tested, and why."""

    kind: str
    words: str
    learned: NDArray[np.int64]
    tested: NDArray[np.int64]


def tests(prepared: PreparedRows, delay: float, seed: int) -> Iterator[Test]:
    """Yield the latest rows, if there is a time, and rows drawn at random."""
    planned = plan(prepared.label, prepared.time, delay, seed)
    if planned.kind == "time":
        yield Test("time", planned.words, *planned.splits[0])
    from sklearn.model_selection import train_test_split

    every = np.arange(len(prepared.label))
    learned, tested = train_test_split(every, test_size=LATER, random_state=seed, stratify=prepared.label)
    yield Test("random", f"{LATER:.0%} of the rows, drawn at random", np.sort(learned), np.sort(tested))


def compare(
    prepared: PreparedRows,
    *,
    how: str,
    delay: float,
    seed: int,
    names: list[str],
    say: Say,
    recipe: Recipe | Blend | None = None,
) -> dict[str, Any]:
    """Test every model on every test: {"treatment", "tests": [{"kind", "words", "models", "net_minus"}]}.

    ``recipe`` is the net's; by default it is counted, as a training has it.
    """
    found = [
        compare_on(prepared, test, how, seed, names=names, say=say, recipe=recipe)
        for test in tests(prepared, delay, seed)
    ]
    return {
        "treatment": how,
        "rows": len(prepared.label),
        "frauds": int(prepared.label.sum()),
        "tests": found,
    }


def compare_on(
    prepared: PreparedRows,
    test: Test,
    how: str,
    seed: int,
    *,
    names: list[str],
    say: Say,
    recipe: Recipe | Blend | None,
) -> dict[str, Any]:
    """Return the figures of the net and of other models on one test, and what it gains over them."""
    label = prepared.label[test.tested].astype(np.int64)
    scores, models = {}, {}
    for name in (NET, *names):
        say(f"{test.kind}: {name}")
        scores[name], seconds = score_by(name, prepared, test, how, seed, recipe=recipe)
        models[name] = {**measure_scores(prepared, test, label, scores[name], seed), **seconds}
    gains = {name: gain_interval(label, scores[NET], scores[name]) for name in names if name in BOOSTED}
    return {
        "kind": test.kind,
        "words": test.words,
        "learned": len(test.learned),
        "tested": len(test.tested),
        "frauds": int(label.sum()),
        "models": models,
        "net_minus": gains,
    }


def score_by(
    name: str, prepared: PreparedRows, test: Test, how: str, seed: int, *, recipe: Recipe | Blend | None
) -> tuple[Floats, dict[str, float]]:
    """Return the scores of the tested rows, and how long learning and scoring took."""
    treated = treat(prepared.label[test.learned].astype(np.int64), how, seed)
    rows = test.learned[treated.rows]
    given = prepared.features[test.tested]
    began = time.perf_counter()
    if name == NET:
        weight = None if how == "none" else treated.weight
        made = fit(prepared, rows, seed, silent, weight=weight, recipe=recipe)
        learned = time.perf_counter()
        score = made.logits(prepared, test.tested)
    else:
        label = prepared.label[rows].astype(np.int64)
        model = BASELINES[name](prepared.features[rows], label, treated.weight, seed)
        learned = time.perf_counter()
        score = model(given)
    done = time.perf_counter()
    return score, {
        "seconds_to_train": round(learned - began, 4),
        "seconds_to_score": round(done - learned, 4),
    }


def measure_scores(
    prepared: PreparedRows, test: Test, label: Labels, score: Floats, seed: int
) -> dict[str, Any]:
    """Return the figures of one model on the tested rows."""
    weight = np.ones(len(label))
    probability = in_halves(log_odds(score), label, seed)
    over = flagged(label, probability, weight, DECIDED_AT)
    right = (probability >= DECIDED_AT) == (label == 1)
    precision, recall = over["precision"], over["recall"]
    found = {
        **asdict(ranking(label, score, weight)),
        "accuracy": float(right.mean()),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if precision + recall else 0.0,
        "reliability": reliability(label, probability, weight),
        "curves": curves(label, score, weight),
    }
    card = card_numbers_of(prepared)
    if card is not None and prepared.time is not None and test.kind == "time":
        rows = test.tested
        found["card_precision_100"] = card_precision(
            card[rows], prepared.time[rows], label, score, CARDS_A_DAY
        )
    return found


def log_odds(score: Floats) -> Floats:
    """Return scores on a scale that calibration can bend: shares of trees are opened to log odds."""
    if score.min() >= 0 and score.max() <= 1:
        inside = np.clip(score, 1e-4, 1 - 1e-4)
        return np.asarray(np.log(inside / (1 - inside)))
    return np.clip(score, -60, 60)


def card_numbers_of(prepared: PreparedRows) -> Floats | None:
    """Return the column that says whose card it is, if there is one."""
    contract = prepared.definition.contract
    for place, column in enumerate(contract.parts()):
        if column.role is Role.ENTITY and any(word in column.name.casefold() for word in CARDS):
            return prepared.table.values[:, place]
    return None


def gain_interval(label: Labels, ours: Floats, theirs: Floats) -> dict[str, list[float]]:
    """Return the 95 % interval and median of the net's measure minus the other's, over draws of the tested rows
    (paired).
    """
    generator, weight = np.random.default_rng(0), np.ones(len(label))
    both = [Resampled.of(label, scores, weight) for scores in (ours, theirs)]
    draws = []
    for _ in range(min(DRAWS, max(20, int(1e7 / len(label))))):
        rows = generator.integers(0, len(label), len(label))
        if not 0 < label[rows].sum() < len(rows):
            continue
        mine, other = (sampled.ranking(rows) for sampled in both)
        draws.append([mine[0] - other[0], mine[1] - other[1]])
    marks = np.quantile(draws, (0.025, 0.5, 0.975), axis=0)
    return {"average_precision": marks[:, 0].tolist(), "auc": marks[:, 1].tolist()}


COLUMNS = (
    ("average_precision", "AP", 3),
    ("auc", "AUC", 3),
    ("recall_at_0_1_percent_fpr", "recall at 0.1 % FPR", 3),
    ("recall_at_1_percent_fpr", "recall at 1 % FPR", 3),
    ("card_precision_100", "card precision at 100", 3),
    ("accuracy", "accuracy", 4),
    ("precision", "precision", 3),
    ("recall", "recall", 3),
    ("f1", "F1", 3),
    ("seconds_to_train", "s to train", 1),
    ("seconds_to_score", "s to score", 2),
)


def markdown(found: dict[str, Any]) -> str:
    """Return Markdown: one table a test."""
    parts = []
    for test in found["tests"]:
        shown = [column for column in COLUMNS if column[0] in test["models"][NET]]
        tested = f"Tested on {test['words']} ({test['tested']:,} rows, {test['frauds']:,} frauds)"
        lines = [
            f"{tested}, learned from {test['learned']:,}; imbalance: {found['treatment']}.",
            "",
            "| model | " + " | ".join(word for _, word, _ in shown) + " |",
            "|---" + "|--:" * len(shown) + "|",
        ]
        for name, measured in test["models"].items():
            cells = [f"{measured[key]:.{digits}f}" for key, _, digits in shown]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        for name, gain in test["net_minus"].items():
            low, middle, high = gain["average_precision"]
            lines.append(f"\nThis net minus {name}, AP: {middle:+.3f} ({low:+.3f} to {high:+.3f})")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model.compare", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--label")
    parser.add_argument("--balance", choices=TREATMENTS, default="none")
    parser.add_argument("--models", nargs="*", default=list(BASELINES), choices=list(BASELINES))
    parser.add_argument("--label-delay", type=float, default=DELAY, help="seconds until a fraud is known")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--quick", action="store_true", help="a small net of fixed size, as `train --quick` makes it"
    )
    parser.add_argument("--out", type=Path, help="writes the figures there as JSON")
    parser.add_argument("--plots", type=Path, help="a folder that gets the curves as PNG")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    try:
        order = TrainingOrder(
            file=options.file, out=Path("unused"), name="compared", filename=options.file.name, label=options.label,
            label_delay=options.label_delay, seed=options.seed,
        )  # fmt: skip
        prepared = prepare(order, lambda _share, text: say(text))
    except (ScreeningError, OSError) as problem:
        say(f"can't compare on {options.file}: {problem}")
        return 1
    found = compare(
        prepared,
        how=options.balance,
        delay=options.label_delay,
        seed=options.seed,
        names=options.models,
        say=say,
        recipe=quick_blend() if options.quick else None,
    )
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.plots:
        from model.evaluation.plots import save_comparison

        save_comparison(found, options.plots)
    print(markdown(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
