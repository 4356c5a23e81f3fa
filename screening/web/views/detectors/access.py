"""Decide which detectors a visitor may see and use, which were trained here, and which have a sample file."""

from __future__ import annotations

from pathlib import Path

from screening.detectors.detector import Detector
from screening.detectors.registry import DEFAULT
from screening.detectors.states import DetectorStanding, DetectorState
from screening.settings import ROOT
from screening.web.http.request_audit import username
from screening.web.http.sessions import may
from screening.web.services import services

SHIPPED = ROOT / "model" / "detectors"


def is_shown(name: str) -> bool:
    """Return whether this visitor may see a detector's card: one that was trained here tells of the bank's own files
    (their columns, how many rows were fraud), and that is no business of somebody without an account. One on trial is
    its owner's and the managers' business.
    """
    if not is_own(name):
        return may("see") or name == DEFAULT or name in {path.name for path in SHIPPED.iterdir()}
    return may("see") and is_known(standing_of(name))


def shown() -> list[Detector]:
    """Return the detectors that this visitor may see and that can be loaded."""
    return [detector for detector in services().detectors.all() if is_shown(detector.name)]


def at_work() -> list[Detector]:
    """Return the detectors that score every file that they fit, of those that this visitor may see."""
    offered = {detector.name for detector in services().detectors.offered()}
    return [detector for detector in shown() if detector.name in offered]


def usable() -> list[Detector]:
    """Return the detectors that can be loaded and that this user may ask for by name."""
    standings = services().detectors.standings()
    found = [one for one in services().detectors.all() if one.name in standings]
    return [
        one
        for one in found
        if standings[one.name].state is not DetectorState.RETIRED and is_known(standings[one.name])
    ]


def ask_for(name: str) -> Detector:
    """Return a detector that is to score something for this user.

    Raises:
        NotFound: there is none, or none that this user may know of.
        Conflict: it is retired.
        BadArtefact: it can't be loaded.
    """
    detector = look_at(name)
    services().detectors.require_in_use(name)
    return detector


def look_at(name: str) -> Detector:
    """Return a detector that this user may see.

    Raises:
        NotFound: there is none, or none that this user may know of.
        BadArtefact: it can't be loaded.
    """
    return services().detectors.known_to(name, username(), decides=may("decide"))


def standing_of(name: str) -> DetectorStanding:
    """Return the state of a detector, whose it is, and who said so when."""
    return services().detectors.standing(name)


def silence_of(detector: Detector) -> str:
    """Return what is to be said of a detector whose usual threshold flagged nothing in its test; empty of others."""
    return "" if detector.card is None else detector.card.metrics.silence


def doubt_of(detector: Detector) -> str:
    """Return the warning of the card about a detector; empty if nothing."""
    return "" if detector.card is None else detector.card.metrics.doubt


def is_default(name: str) -> bool:
    """Return whether it is the detector of the pair that the server was started with."""
    return name == services().detectors.default.name


def is_usual(name: str) -> bool:
    """Return whether it decides for programs that name none."""
    mine = services().detectors
    return name == mine.in_place_of(mine.default)[0].name


def in_place_of(detector: Detector) -> str:
    """Return the name of what was promoted in a detector's place; empty if nothing was."""
    found, _ = services().detectors.in_place_of(detector)
    return "" if found is detector else found.name


def is_own(name: str) -> bool:
    """Return whether a detector was trained here, and so may be removed."""
    return services().detectors.is_trained_here(name)


def sample_of(name: str) -> Path | None:
    """Return the generated file that ships with a detector."""
    file = ROOT / "transactions_data.csv" if name == DEFAULT else SHIPPED / name / "sample.csv"
    return file if file.is_file() else None


def samples() -> list[str]:
    """Return the names of the detectors that have a sample file.

    First come those that aren't doubted, and of these, those that look back: their rows say who and what, and their
    reasons speak of customers and terminals. Columns such as V14 tell a newcomer nothing.
    """
    there = [each for each in services().detectors.all() if sample_of(each.name)]
    return [
        each.name
        for each in sorted(there, key=lambda one: (bool(doubt_of(one)), not one.vectorizer.looks_back))
    ]


def is_known(standing: DetectorStanding) -> bool:
    """Return whether whoever asks may know of a detector in this state."""
    return standing.is_known_to(username(), decides=may("decide"))
