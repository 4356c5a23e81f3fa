"""What screens a file of payments however it is written."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from secrets import token_hex

import numpy as np
import pytest

from screening.detectors.registry import Detectors
from screening.intake import NOTHING_SAID, Answers, identify
from screening.scoring.thresholds import always
from screening.settings import Settings
from screening.uploads import preflight
from screening.uploads.line.order import ScreeningOrder
from screening.uploads.line.screen import screen
from screening.uploads.questions.column_mappings import Mapping
from screening.uploads.results import ScreeningOutcome
from screening.uploads.upload_folder import UploadFolder
from tests.screening.uploads.payment_forms import Plain, Result, Screen

THRESHOLD = 0.8
NOTHING_FLAGGED = 1.0
"""Each row that is flagged has its reasons computed, half of what a screening takes. Tests of how a file is read
compare probabilities: reasons are made for the file that is written plainly.
"""


@pytest.fixture(scope="module")
def detectors(tmp_path_factory: pytest.TempPathFactory) -> Detectors:
    return Detectors(Settings(instance=tmp_path_factory.mktemp("forms")))


@pytest.fixture
def screened(detectors: Detectors, tmp_path: Path) -> Screen:
    return screening(detectors, tmp_path, NOTHING_FLAGGED)


@pytest.fixture(scope="module")
def plain(detectors: Detectors, tmp_path_factory: pytest.TempPathFactory) -> Plain:
    """The probabilities of a file that is written plainly, for many tests to compare others with: screened once."""
    screen_it = screening(detectors, tmp_path_factory.mktemp("plain"))
    return cache(lambda content: screen_it(content).probability)


def screening(detectors: Detectors, base: Path, threshold: float = THRESHOLD) -> Screen:
    """Return what screens files in folders below ``base``."""

    def run(
        content: bytes | str,
        name: str = "a.csv",
        *,
        set_aside: bool = False,
        answers: Answers = NOTHING_SAID,
        check: bool = False,
        said: Mapping | None = None,
    ) -> Result:
        data = content.encode() if isinstance(content, str) else content
        folder = UploadFolder(base, token_hex(4))
        folder.create()
        folder.input.write_bytes(data)
        folder.complete()
        kind = identify(name, data[:4096])
        if check:
            checked = preflight.check(
                folder,
                kind,
                detectors,
                wanted=None,
                on_batch=lambda _: None,
                answers=answers,
                recall=lambda _: said,
            )
            return Result(np.zeros(0), " ".join(checked.notes))
        order = ScreeningOrder(
            limits=always(threshold), set_aside=set_aside, answers=answers, recall=lambda _: said
        )
        found = screen(folder, kind, detectors, order)
        return Result(ScreeningOutcome(folder, threshold).probability.copy(), " ".join(found.notes))

    return run
