"""ScreeningOrder to screen one file: by what, with which settings, and who is told meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from screening.intake import NOTHING_SAID, Answers
from screening.rules.files import FileRules
from screening.scoring.score import Probabilities, own_probabilities
from screening.scoring.thresholds import Thresholds

if TYPE_CHECKING:
    from screening.detectors.detector import Detector
    from screening.ledger.history import DetectorHistory
    from screening.uploads.questions.column_mappings import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreeningOrder:
    """Settings of one screening. Whoever is told of its progress may raise to stop it."""

    limits: Callable[[str], Thresholds]
    """Return the thresholds of a detector, by its name; asked again for each way of reading the file."""
    wanted: str | None = None
    """Name of the detector; ``None`` to choose it by the header."""
    set_aside: bool = False
    """List rows with bad cells and score the others, instead of refusing the file."""
    answers: Answers = NOTHING_SAID
    """Meaning of columns that can be read in two ways."""
    recall: Callable[[list[str]], Mapping | None] = lambda _header: None
    """Return the mapping of a header's columns; asked when they aren't called as a detector calls them."""
    recall_unit: Callable[[list[str]], str | None] = lambda _header: None
    """Return the unit of the amounts below a header."""
    context: Callable[[Detector], DetectorHistory] | None = None
    """Return the earlier rows that count for a detector; asked when the last row has come."""
    remember: bool = False
    """Add the rows of this file to the ``context``."""
    rules: FileRules | None = None
    """Rules that have a say in the flags."""
    probabilities: Probabilities = own_probabilities
    """Return the probabilities of some rows."""
    on_batch: Callable[[int], None] = lambda _bytes: None
    """Told how many bytes of the file were read."""
    on_stage: Callable[[str, int, int], None] = lambda _doing, _rows, _of: None
    """Told what is done (:mod:`screening.uploads.line.pace`), with how many rows of how many."""
    on_outcome: Callable[[], None] = lambda: None
    """Called before the outcome takes its place; it may raise to stop."""
    on_choice: Callable[[Detector], None] = lambda _detector: None
    """Told the detector as soon as the header is read."""
