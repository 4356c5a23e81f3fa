"""Pictures of a comparison and of a file, for the notebook and for reports. Each takes axes and draws on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

NET_STYLE = {"color": "#c0392b", "linewidth": 2.2, "zorder": 3}
OTHER_STYLE = {"linewidth": 1.0, "alpha": 0.8}
OURS = "this net"


def precision_recall(axes: Any, models: dict[str, Any]) -> None:
    """Draw the precision-recall curve of each model: ``models`` as :func:`model.compare.compare` gives them."""
    for name, measured in models.items():
        recall, precision = np.array(measured["curves"]["precision_recall"]).T
        style = NET_STYLE if name == OURS else OTHER_STYLE
        axes.step(
            recall, precision, where="post", label=f"{name} ({measured['average_precision']:.3f})", **style
        )
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(fontsize=7, title="average precision", title_fontsize=7)


def reliability(axes: Any, bins: list[dict[str, Any]]) -> None:
    """Draw the observed share of fraud against the mean probability of each bin, with 95 % intervals."""
    mean = np.array([one["mean_probability"] for one in bins])
    seen = np.array([one["observed"] for one in bins])
    low, high = (np.array([one[key] for one in bins]) for key in ("low", "high"))
    axes.plot([1e-5, 1], [1e-5, 1], color="#999", linewidth=1)
    axes.errorbar(
        mean,
        seen,
        yerr=[np.maximum(seen - low, 0), np.maximum(high - seen, 0)],
        fmt="o",
        color="#c0392b",
        capsize=3,
    )
    axes.set(xlabel="probability", ylabel="observed share of fraud", xscale="symlog", yscale="symlog")
    for side in (axes.set_xscale, axes.set_yscale):
        side("symlog", linthresh=1e-3)
    axes.set(xlim=(0, 1.1), ylim=(0, 1.1))


def by_group(axes: Any, group: NDArray[Any], label: NDArray[Any], names: list[str], word: str) -> None:
    """Draw the share of fraud in each group of rows, with how many rows it has."""
    rows = np.bincount(group, minlength=len(names))
    frauds = np.bincount(group, weights=label, minlength=len(names))
    axes.bar(names, np.divide(100 * frauds, rows, out=np.zeros(len(names)), where=rows > 0), color="#5b7c99")
    axes.set(xlabel=word, ylabel="fraud, % of rows")
    axes.tick_params(axis="x", rotation=90 if len(names) > 12 else 30, labelsize=7)


def save_comparison(found: dict[str, Any], folder: Path) -> list[Path]:
    """Write one PNG a test: precision-recall curves of all models, reliability of the net."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for test in found["tests"]:
        figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
        precision_recall(left, test["models"])
        reliability(right, test["models"][OURS]["reliability"])
        figure.suptitle(f"Tested on {test['words']}", fontsize=10)
        path = folder / f"comparison-{test['kind']}.png"
        figure.savefig(path, dpi=130)
        plt.close(figure)
        written.append(path)
    return written
