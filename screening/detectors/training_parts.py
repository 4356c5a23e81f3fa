"""The training parts: packages that training a detector and compiling a net need, and that serving does without.

They are those of ``requirements/learn.in``. An installation without them serves all the same. What was trained and
compiled elsewhere on the same instance is used by it (docs/containers.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

COMPILING = ("tensorflow", "keras")
TRAINING = (*COMPILING, "sklearn", "xgboost", "catboost")
"""Without pandas, which a lean process leaves out wherever it is (:mod:`screening.infra.lean_process`)."""
ELSEWHERE = "where requirements.txt is installed, as in the image for training, and on this instance"


def lacking(packages: Sequence[str] = TRAINING) -> list[str]:
    """Return those of some packages that aren't installed; none of them is imported."""
    return [name for name in packages if not _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # a finder says so: it is left out of this process
        return False
