"""Scores a file in the shadow: through the whole line, as if the file had been sent for that detector alone."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from screening.detectors.detector import Detector
from screening.detectors.registry import Detectors
from screening.detectors.shadow_runs import ShadowRun
from screening.intake import Answers
from screening.scoring.score import Probabilities
from screening.scoring.thresholds import always
from screening.transactions.composition import Composition
from screening.uploads.history_policy import HistoryPolicy, Shadowing
from screening.uploads.line.order import ScreeningOrder
from screening.uploads.line.screen import screen
from screening.uploads.questions.column_mappings import Mapping
from screening.uploads.results import ScreeningOutcome
from screening.uploads.screenings import Screening
from screening.uploads.upload_folder import UploadFolder

SCRATCH = "screen-shadow"
"""Below the instance; what a killed worker leaves there is swept with other scratch folders."""
LOOK_SECONDS = 0.1


class ShadowPreempted(Exception):
    """A file that somebody waits for goes first."""


def score_file(
    run: ShadowRun,
    screening: Screening,
    detector: Detector,
    *,
    detectors: Detectors,
    policy: HistoryPolicy,
    others_wait: Callable[[], bool],
    probabilities: Probabilities,
) -> NDArray[np.float32] | None:
    """Return the probabilities of a file's rows (rows,), NaN for those that were set aside; ``None`` if it is gone.

    Args:
        run: whose file it is.
        screening: of the first detector, done.
        detector: what scores.
        detectors: of the installation.
        policy: whose past counts for whom.
        others_wait: asked now and then.
        probabilities: who is asked for the probabilities of some rows.

    Raises:
        ScreeningError: this detector can't score the file.
        GivesWay: somebody waits for another file.
    """
    instance = policy.settings.instance
    theirs = UploadFolder.kept(instance, screening.id)
    first = ScreeningOutcome(theirs, screening.threshold)
    if not first.there:
        return None
    scratch = _Scratch(instance / SCRATCH / screening.id)
    shutil.rmtree(scratch.path, ignore_errors=True)
    try:
        scratch.take(theirs)
        order = ScreeningOrder(
            limits=always(screening.threshold),
            wanted=detector.name,
            set_aside=screening.set_aside_bad,
            answers=Answers.of(screening.answers or {}),
            recall=lambda _header: mapping_for(detector, first),
            context=lambda one: policy.context(
                one, screening.owner, Shadowing(run.id, run.first_fingerprint)
            ),
            remember=True,
            probabilities=probabilities,
            on_batch=_Looking(others_wait),
        )
        screen(scratch, theirs.kind(screening.kind), detectors, order)
        return np.array(ScreeningOutcome(scratch, screening.threshold).probability)
    except FileNotFoundError:
        if theirs.path.exists():
            raise
        return None  # it was deleted in this moment
    finally:
        shutil.rmtree(scratch.path, ignore_errors=True)


def mapping_for(detector: Detector, first: ScreeningOutcome) -> Mapping | None:
    """Return the mapping of the file's columns for the other detector, as far as both name them alike."""
    said: dict[str, str | Composition] = dict(first.meta.get("columns", {}))
    said |= {name: Composition.of(made) for name, made in first.meta.get("composed", {}).items()}
    if not said:
        return None
    columns = {name: said.get(name, name) for name in detector.contract.columns}
    return Mapping(detector.name, columns, of_this_file=True)


class _Scratch(UploadFolder):
    """A folder in which a file of another one is screened once more."""

    def __init__(self, path: Path) -> None:
        self._lay_out(path)
        self.on_wait = lambda: None

    def take(self, other: UploadFolder) -> None:
        """Have the other one's file here, without a copy where the disk can do so."""
        self.path.mkdir(mode=0o700, parents=True)
        place = self.tokens if other.tokens.exists() else self.arriving
        try:
            os.link(other.input, place)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links
            shutil.copyfile(other.input, place)
        self.complete()


class _Looking:
    """Looks now and then whether somebody waits."""

    def __init__(self, others_wait: Callable[[], bool]) -> None:
        self._others_wait = others_wait
        self._next = 0.0

    def __call__(self, _done: int) -> None:
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_SECONDS
        if self._others_wait():
            raise ShadowPreempted
