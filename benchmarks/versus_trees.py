"""The product's trainer with untouched defaults beside boosted trees, on tables of many schemas.

``python -m benchmarks.versus_trees`` trains and tests on every set of :mod:`benchmarks.labelled_sets`, three seeds
each, by the product's own commands (``train``, ``screen``) in a fresh instance. LightGBM, XGBoost and CatBoost learn
from the same rows, once from their raw columns and once ("+") with what a practitioner adds in an hour. Each result is
kept in ``benchmarks/results/versus_trees.json`` as soon as it is there; what stands there isn't run again.
``--folder`` adds sets of one's own: a folder each with train.csv.gz, test.csv.gz, test_label.csv.gz (column y) and
meta.json ({"label", "pos"}).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.labelled_sets import SETS, Made, parted

RESULTS = Path("benchmarks/results/versus_trees.json")
PICTURE = Path("docs/versus-trees.svg")
SEEDS = 3
DRAWS = 400
NUMBERS = 0.98
"""Share of the filled cells that must be numbers for a column to be one, for the rivals."""
TOLD_APART = 0.9
DAY = 86_400.0
OURS = "this product"
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Rows = NDArray[np.int64]
FEWEST_HELD = 5


def numbers(cells: pd.Series) -> pd.Series:
    """Cells of text as numbers, NaN for what is none."""
    plain = cells.str.replace(r"^\$", "", regex=True).replace("", np.nan)
    found: pd.Series = pd.to_numeric(plain, errors="coerce")
    return found


def seconds(made: Made, rows: pd.DataFrame) -> Floats | None:
    """What orders the rows, in seconds; ``None`` without it."""
    if made.time is None:
        return None
    as_numbers = numbers(rows[made.time])
    if as_numbers.notna().all():
        hours: Floats = as_numbers.to_numpy() * (3600 if made.time == "step" else 1)
        return hours
    format_ = {"booked": "%d.%m.%Y %H:%M", "incident_date": "%m/%d/%Y"}.get(made.time)
    since = pd.to_datetime(rows[made.time], format=format_) - pd.Timestamp("1970-01-01")
    found: Floats = since.dt.total_seconds().to_numpy()
    return found


def table_of(made: Made, rows: pd.DataFrame, known: int, *, more: bool) -> tuple[pd.DataFrame, list[str]]:
    """The rivals' features of all rows, of which the first ``known`` are learned from, and which are categories."""
    found: dict[str, Any] = {}
    categories = []
    for name in rows.columns:
        if name == made.label or name in made.left_out:
            continue
        cells, values = rows[name], numbers(rows[name])
        filled = int((cells != "").sum())
        if filled and name not in made.entities and values.notna().sum() >= NUMBERS * filled:
            found[name] = values
        elif filled and cells.nunique() <= TOLD_APART * len(cells):
            found[name] = cells.replace("", "none").astype("category")
            categories.append(name)
    if more:
        found |= _by_hand(made, rows, known)
    return pd.DataFrame(found, index=rows.index), categories


def _by_hand(made: Made, rows: pd.DataFrame, known: int) -> dict[str, Any]:
    """A clock, counts, gaps, the last day's rows and the amount against the mean so far, by entity."""
    found: dict[str, Any] = {}
    when = seconds(made, rows)
    if when is not None:
        clock = pd.to_datetime(when, unit="s")
        found |= {"x_hour": clock.hour, "x_weekday": clock.dayofweek, "x_day": clock.day}
    if made.by_hand is not None:
        found |= {f"x_{name}": cells for name, cells in made.by_hand(rows).items()}
    for name in made.entities:
        found[f"x_seen_{name}"] = rows[name].map(rows[name][:known].value_counts()).fillna(0)
        if when is not None:
            amount = None if made.amount is None else numbers(rows[made.amount]).to_numpy()
            found |= _history(name, rows[name].to_numpy(), when, amount)
    return found


def _history(name: str, entity: NDArray[Any], when: Floats, amount: Floats | None) -> dict[str, Floats]:
    order = np.argsort(when, kind="stable")
    frame = pd.DataFrame({"entity": entity[order], "when": when[order]})
    groups = frame.groupby("entity")
    made = {"before": groups.cumcount().to_numpy(float), "gap": groups.when.diff().to_numpy()}
    day = np.zeros(len(frame))
    for places in groups.indices.values():
        times = frame.when.to_numpy()[places]
        day[places] = np.arange(len(times)) - np.searchsorted(times, times - DAY)
    made["day"] = day
    if amount is not None:
        frame["amount"] = amount[order]
        before = frame.groupby("entity").amount.transform(lambda cells: cells.expanding().mean().shift())
        made["ratio"] = frame.amount.to_numpy() / (before.to_numpy() + 1e-9)
    back = np.argsort(order, kind="stable")
    return {f"x_{kind}_{name}": cells[back] for kind, cells in made.items()}


@dataclass(frozen=True)
class Task:
    """What rivals learn from: the first ``known`` rows; rounds are counted on the second of the ``parts`` of them."""

    features: pd.DataFrame
    label: Labels
    known: int
    categories: Sequence[str]
    parts: tuple[Rows, Rows]
    seed: int


def rivals(given: tuple[pd.DataFrame, list[str]], label: Labels, order: Rows, seed: int) -> dict[str, Floats]:
    """The scores that each of the three gives the rows behind those of ``order``, which are learned from.

    The last 15 % of the order count the rounds, if they have frauds enough; a random part does else.
    """
    features, categories = given
    named = {name: f"c{place}" for place, name in enumerate(features.columns)}
    known = len(order)
    cut = int(0.85 * known)
    if label[order[cut:]].sum() < FEWEST_HELD:
        order = np.random.default_rng(seed).permutation(known)
    task = Task(
        features.rename(columns=named),
        label,
        known,
        [named[name] for name in categories],
        (order[:cut], order[cut:]),
        seed,
    )
    fits: dict[str, Callable[[Task], Floats]] = {
        "LightGBM": _lightgbm,
        "XGBoost": _xgboost,
        "CatBoost": _catboost,
    }
    return {name: fit(task) for name, fit in fits.items()}


def _lightgbm(task: Task) -> Floats:
    import lightgbm

    settings: dict[str, Any] = {
        "learning_rate": 0.05, "num_leaves": 31, "min_child_samples": 20, "subsample": 0.8, "subsample_freq": 1,
        "colsample_bytree": 0.8, "random_state": task.seed, "n_jobs": 1, "verbose": -1,
    }  # fmt: skip
    learned, held = task.parts
    counted = lightgbm.LGBMClassifier(n_estimators=1000, **settings).fit(
        task.features.iloc[learned], task.label[learned], eval_set=[(task.features.iloc[held], task.label[held])],
        eval_metric="average_precision", callbacks=[lightgbm.early_stopping(60, verbose=False)],
    )  # fmt: skip
    return _again(task, lightgbm.LGBMClassifier(n_estimators=max(counted.best_iteration_, 10), **settings))


def _xgboost(task: Task) -> Floats:
    import xgboost

    settings: dict[str, Any] = {
        "learning_rate": 0.05, "max_depth": 5, "subsample": 0.8, "colsample_bytree": 0.8, "tree_method": "hist",
        "enable_categorical": True, "n_jobs": 1, "random_state": task.seed, "eval_metric": "aucpr",
    }  # fmt: skip
    learned, held = task.parts
    counted = xgboost.XGBClassifier(n_estimators=1000, early_stopping_rounds=60, **settings).fit(
        task.features.iloc[learned], task.label[learned], verbose=False,
        eval_set=[(task.features.iloc[held], task.label[held])],
    )  # fmt: skip
    return _again(task, xgboost.XGBClassifier(n_estimators=max(counted.best_iteration + 1, 10), **settings))


def _catboost(task: Task) -> Floats:
    import catboost

    cats = list(task.categories)
    task = replace(
        task, features=task.features.assign(**{name: task.features[name].astype(str) for name in cats})
    )
    settings: dict[str, Any] = {
        "learning_rate": 0.06, "depth": 6, "random_seed": task.seed, "thread_count": 1, "verbose": False,
        "allow_writing_files": False, "cat_features": cats,
    }  # fmt: skip
    learned, held = task.parts
    counted = catboost.CatBoostClassifier(iterations=800, early_stopping_rounds=60, **settings).fit(
        task.features.iloc[learned],
        task.label[learned],
        eval_set=(task.features.iloc[held], task.label[held]),
    )
    return _again(
        task, catboost.CatBoostClassifier(iterations=max(counted.get_best_iteration() + 1, 10), **settings)
    )


def _again(task: Task, model: Any) -> Floats:
    """Learn from all known rows and score the others."""
    model.fit(task.features[: task.known], task.label[: task.known])
    return np.asarray(model.predict_proba(task.features[task.known :]))[:, 1]


def ours(train: pd.DataFrame, test: pd.DataFrame, label: str, seed: int) -> tuple[Floats, dict[str, Any]]:
    """The product's scores of the tested rows (rows,), NaN for those set aside, and what the training took and said."""
    with tempfile.TemporaryDirectory(prefix="versus-") as folder:
        at = Path(folder)
        train.to_csv(at / "train.csv", index=False)
        test.drop(columns=label, errors="ignore").to_csv(at / "test.csv", index=False)
        (at / "users.txt").touch()
        environment = {
            **os.environ,
            "INSTANCE_PATH": str(at / "instance"),
            "USERS_FILE": str(at / "users.txt"),
        }
        command = [sys.executable, "-m", "flask", "--app", "app"]
        began = time.perf_counter()
        taken = _run(
            [
                *command,
                "train",
                str(at / "train.csv"),
                "--label",
                label,
                "--name",
                "made",
                "--seed",
                str(seed),
            ],
            environment,
        )
        taken["seconds"] = round(time.perf_counter() - began, 1)
        _run(
            [*command, "screen", str(at / "test.csv"), "--detector", "made", "-o", str(at / "scores.csv")],
            environment,
        )
        scores = pd.read_csv(at / "scores.csv", dtype=str, keep_default_na=False)
        card = json.loads(
            next((at / "instance").glob("detectors/made/card.json")).read_text(encoding="utf-8")
        )
        size = next((at / "instance").glob("detectors/made/model.h5")).stat().st_size
    told = card["metrics"]["validation"]
    said = {
        "average_precision": told["average_precision"], "interval": told["interval_95"]["average_precision"],
        "kind": told["kind"], "blend": card["metrics"].get("blend"),
    }  # fmt: skip
    found = pd.to_numeric(scores["fraud_probability"], errors="coerce").to_numpy()
    return found, {**taken, "card": said, "net_bytes": size}


def _run(command: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run a command; returns its processor time in seconds and the largest memory of its processes in MB.

    Raises:
        RuntimeError: it failed; the message is what it said.
    """
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, env=dict(environment), stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            said.seek(0)
            raise RuntimeError(said.read()[-2000:])
    return {
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "memory_mb": round(usage.ru_maxrss / 1024),
    }


def compare(name: str, made: Made, train: pd.DataFrame, test: pd.DataFrame, seed: int) -> dict[str, Any]:
    """One set with one seed: figures of all models, and ours minus each with the paired 95 % interval."""
    known = len(train)
    rows = pd.concat([train, test], ignore_index=True).astype(str)
    label = (rows[made.label] == made.fraud).to_numpy(np.int64)
    tested = label[known:]
    scores, taken = ours(train, test, made.label, seed)
    given = {OURS: np.nan_to_num(scores)}
    when = seconds(made, rows[:known])
    order = (
        np.argsort(when, kind="stable")
        if when is not None
        else np.random.default_rng(seed).permutation(known)
    )
    for more in (False, True):
        found = rivals(table_of(made, rows, known, more=more), label, order, seed)
        given |= {rival + ("+" if more else ""): score for rival, score in found.items()}
    return {
        "set": name, "seed": seed, "words": made.words, "learned": known, "frauds_learned": int(label[:known].sum()),
        "tested": len(test), "frauds_tested": int(tested.sum()), "set_aside": int(np.isnan(scores).sum()), **taken,
        "average_precision": {name: _digits(average_precision_score(tested, score)) for name, score in given.items()},
        "auc": {name: _digits(roc_auc_score(tested, score)) for name, score in given.items()},
        "ours_minus": _differences(tested, given),
    }  # fmt: skip


def _digits(value: float) -> float:
    return round(float(value), 4)


def _differences(label: Labels, given: Mapping[str, Floats]) -> dict[str, list[float]]:
    """Of each rival: ours minus its average precision, and the 95 % interval over draws of the tested rows."""
    draw = np.random.default_rng(0)
    frauds, others = np.flatnonzero(label == 1), np.flatnonzero(label == 0)
    drawn: dict[str, list[float]] = {name: [] for name in given if name != OURS}
    for _ in range(DRAWS):
        rows = np.r_[draw.choice(frauds, len(frauds)), draw.choice(others, len(others))]
        base = average_precision_score(label[rows], given[OURS][rows])
        for name, found in drawn.items():
            found.append(float(base - average_precision_score(label[rows], given[name][rows])))
    whole = {name: average_precision_score(label, score) for name, score in given.items()}
    return {
        name: [
            round(float(value), 4)
            for value in (whole[OURS] - whole[name], *np.percentile(found, [2.5, 97.5]))
        ]
        for name, found in drawn.items()
    }


def sets(
    names: Sequence[str], seed: int, folders: Sequence[Path]
) -> Iterator[tuple[str, Made, pd.DataFrame, pd.DataFrame]]:
    """The sets by name: generated ones with this seed, and folders."""
    for name in names:
        draw = np.random.default_rng((seed, list(SETS).index(name)))
        made = SETS[name](draw)
        yield name, made, *parted(made, draw)
    for folder in folders:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        read = [
            pd.read_csv(folder / f"{part}.csv.gz", dtype=str, keep_default_na=False)
            for part in ("train", "test", "test_label")
        ]
        train, test, label = read
        other = next(value for value in train[meta["label"]] if value not in meta["pos"])
        test = test.assign(**{meta["label"]: np.where(label.y == "1", meta["pos"][0], other)})[
            list(train.columns)
        ]
        yield folder.name, Made(train, meta["label"], meta["pos"][0], words="a folder"), train, test


def best(found: Mapping[str, Any], *, more: bool) -> str:
    """The rival with the highest average precision on the tested rows."""
    figures = found["average_precision"]
    rivals: list[str] = [name for name in figures if name != OURS and name.endswith("+") == more]
    return max(rivals, key=figures.__getitem__)


def markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """One line a set: means over the seeds, and how often the interval of the difference leaves 0 aside."""
    lines = [
        "| set | rows (frauds) | ours | best tree | best tree + | wins, losses: raw | wins, losses: + | s CPU | MB |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in dict.fromkeys(each["set"] for each in results):
        of_set = [each for each in results if each["set"] == name]
        cells = [
            f"{name}: {of_set[0]['words']}",
            f"{of_set[0]['learned']:,} ({of_set[0]['frauds_learned']:,})",
        ]
        cells.append(f"{np.mean([each['average_precision'][OURS] for each in of_set]):.3f}")
        told = []
        for more in (False, True):
            rival = [best(each, more=more) for each in of_set]
            figures = [each["average_precision"][one] for each, one in zip(of_set, rival, strict=True)]
            gains = [each["ours_minus"][one] for each, one in zip(of_set, rival, strict=True)]
            cells.append(f"{np.mean(figures):.3f}")
            told.append(f"{sum(low > 0 for _, low, _ in gains)}, {sum(high < 0 for *_, high in gains)}")
        cells += [
            *told,
            *(f"{np.mean([each[key] for each in of_set]):,.0f}" for key in ("cpu_seconds", "memory_mb")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    inside = [_holds(each["card"]["interval"], each["average_precision"][OURS]) for each in results]
    lines += [
        "",
        f"The card's interval holds the tested rows' average precision in {sum(inside)} of {len(inside)}.",
    ]
    return "\n".join(lines)


def picture(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw ours minus the best raw tree and the best "+", the mean over the seeds, with their mean 95 % intervals."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "versus", "svg.fonttype": "none"}
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(each["set"] for each in results))
    drawn, axes = plt.subplots(1, 2, figsize=(9, 0.28 * len(names) + 1.4), sharey=True)
    places = np.arange(len(names))[::-1]
    for axis, more in zip(axes, (False, True), strict=True):
        gains = [
            np.mean(
                [each["ours_minus"][best(each, more=more)] for each in results if each["set"] == name], axis=0
            )
            for name in names
        ]
        middle, low, high = np.array(gains).T
        lost = high < 0
        for some, colour in ((~lost, "#0b5563"), (lost, "#a61b1b")):
            axis.errorbar(
                middle[some], places[some], xerr=[(middle - low)[some], (high - middle)[some]], fmt="o",
                markersize=4, linewidth=1.2, color=colour,
            )  # fmt: skip
        axis.axvline(0, color="#666666", linewidth=0.8)
        axis.set_title(f"minus the best tree{', with an hour of features' if more else ', raw'}", fontsize=10)
        axis.set_xlabel("average precision")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_yticks(places, names)
    drawn.tight_layout()
    drawn.savefig(path, metadata={"Date": None})
    plt.close(drawn)


def _holds(interval: Sequence[float] | None, value: float) -> bool:
    return interval is not None and interval[0] <= value <= interval[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versus_trees", description=__doc__)
    parser.add_argument("sets", nargs="*", choices=[*SETS, []], help="generated sets (default: all)")
    parser.add_argument("--folder", type=Path, action="append", default=[], help="a set of one's own")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--results", type=Path, default=RESULTS, help="what is there already isn't run again")
    parser.add_argument("--picture", type=Path, help=f"draw the differences there, as in {PICTURE}")
    options = parser.parse_args(arguments)
    results = json.loads(options.results.read_text(encoding="utf-8")) if options.results.exists() else []
    done = {(each["set"], each["seed"]) for each in results}
    for seed in range(options.seeds):
        wanted = [
            name for name in options.sets or ([] if options.folder else SETS) if (name, seed) not in done
        ]
        folders = [folder for folder in options.folder if (folder.name, seed) not in done]
        for name, made, train, test in sets(wanted, seed, folders):
            found = compare(name, made, train, test, seed)
            results.append(found)
            options.results.parent.mkdir(parents=True, exist_ok=True)
            options.results.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            figures = ", ".join(f"{model} {value:.3f}" for model, value in found["average_precision"].items())
            print(f"{name} {seed}: {figures}; {found['seconds']} s", file=sys.stderr, flush=True)
    print(markdown(results))
    if options.picture is not None:
        picture(results, options.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
