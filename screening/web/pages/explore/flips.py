"""Show the rows that flip between two detectors or two thresholds: a view that is its address."""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.datastructures import MultiDict

from screening.detectors.detector import Detector
from screening.errors import NotFound, ScreeningError
from screening.ledger.filters import DecisionFilter, Unanswered
from screening.shadow.flips import SHOWN, Flips, flips, scores_of
from screening.shadow.scores import ShadowStore
from screening.uploads.results import ScreeningOutcome
from screening.uploads.screenings import DONE, OPEN_STATES, Screening
from screening.uploads.upload_folder import UploadFolder
from screening.web.http.ledger_filters import COMMON, SHARE, TEXT, BadQuery, filter_of, value_of
from screening.web.http.operations import Parameter
from screening.web.http.sessions import may, require, user
from screening.web.services import services
from screening.web.views.detectors.access import usable
from screening.web.views.files.screen_again import screen_again, why_not
from screening.web.views.visibility import owner_seen

blueprint = Blueprint("flips", __name__, url_prefix="/explore/flips")
QUERY = {
    **{name: COMMON[name] for name in ("from", "to", "source")},
    "screening": Parameter(kind=TEXT, field="screening", words="Rows of this file."),
    "detector": Parameter(kind=TEXT, words="Whose decisions."),
    "threshold": Parameter(kind=SHARE, words="From which on it flags."),
    "other": Parameter(kind=TEXT, words="The detector that it is compared with."),
    "other_threshold": Parameter(kind=SHARE, words="From which on that one flags."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The two sides that are compared."""

    detector: str
    other: str
    threshold: float
    other_threshold: float


class NoScores(ScreeningError):
    """Nothing says what the other detector thinks of these rows."""

    status = 409
    title = "There is nothing to compare yet"


@blueprint.post("/screen")
@require("screen")
def screen() -> Any:
    """Have the kept file scored by the other detector, too; comes back to the comparison."""
    form = request.form
    screening, other = form.get("screening", ""), form.get("other", "")
    screen_again(screening, other)
    flash(f"{other} scores the file now.")
    asked: dict[str, Any] = {name: form[name] for name in QUERY if form.get(name)}
    return redirect(url_for("flips.index", **asked), HTTPStatus.SEE_OTHER)


@blueprint.get("")
@require("compare")
def index() -> tuple[str, int]:
    """Show the rows that one flags and the other doesn't, with their money, labels and links."""
    given: MultiDict[str, str] = MultiDict(
        (name, value) for name, value in request.args.items(multi=True) if value
    )
    mine = services()
    names = [one.name for one in _known()]
    usual = mine.settings.threshold
    sides = Sides(detector=names[0], other=names[0], threshold=usual, other_threshold=usual)
    found: Flips | None = None
    problem: ScreeningError | None = None
    source, screening = "", None
    wanting: Screening | None = None
    try:
        chosen = filter_of(given, QUERY, owner_seen())
        screening = chosen_screening(chosen)
        sides = _sides(given, names, screening)
        if (sides.detector, sides.threshold) != (sides.other, sides.other_threshold):
            found, source = compare(replace(chosen, detector=sides.detector), sides, screening)
    except (BadQuery, NotFound, NoScores, Unanswered) as refused:
        problem = refused
        wanting = screening if isinstance(refused, NoScores) else None
    twin = None if wanting is None else mine.screenings.twin(wanting, sides.other)
    text = render_template(
        "flips.html",
        given=given,
        sides=sides,
        names=names,
        found=found,
        source=source,
        screening=screening,
        wanting=wanting,
        twin=twin,
        waits=twin is not None and twin.state in OPEN_STATES,
        reason="" if wanting is None else why_not(wanting),
        shown=SHOWN,
        words=_words(sides),
        problem=None if problem is None else problem.as_dict(),
    )
    return text, 200 if problem is None else problem.status


def _known() -> list[Detector]:
    """Return the detectors that the caller may ask, the default one first."""
    mine = services().detectors
    found = usable()
    return sorted(found, key=lambda one: (one is not mine.default, one.name))


def chosen_screening(chosen: DecisionFilter) -> Screening | None:
    """Return the screening that the address names.

    Raises:
        NotFound: there is none that the caller may see.
    """
    if chosen.screening is None:
        return None
    found = services().screenings.get(chosen.screening)
    if found is None or (not may("see_all") and found.owner != user().username.casefold()):
        raise NotFound("There is no such screening.", remedy="Choose one of the list.")
    return found


def _sides(given: MultiDict[str, str], names: list[str], screening: Screening | None) -> Sides:
    own = screening.detector if screening is not None and screening.detector else names[0]
    detector = value_of(given, "detector", QUERY["detector"]) or own
    other = value_of(given, "other", QUERY["other"]) or detector
    for name in (detector, other):
        if name not in names and name != own:
            raise NotFound(f"There is no detector “{name[:40]}”.", remedy=f"There are: {', '.join(names)}.")
    usual = services().thresholds.of(detector).review if screening is None else screening.threshold
    other_usual = usual if screening is not None else services().thresholds.of(other).review
    first, second = (value_of(given, name, QUERY[name]) for name in ("threshold", "other_threshold"))
    return Sides(
        detector=detector,
        other=other,
        threshold=usual if first is None else first,
        other_threshold=other_usual if second is None else second,
    )


def compare(chosen: DecisionFilter, sides: Sides, screening: Screening | None) -> tuple[Flips, str]:
    """Return which rows flip, and where the other's probabilities come from.

    Raises:
        NoScores: nowhere.
        Unanswered: the ledger didn't answer in time.
    """
    questions = services().ledger.questions
    scores: Any = None
    source = ""
    if sides.other != sides.detector:
        scores, source = _scores(sides, screening)
    return flips(questions, chosen, sides.threshold, sides.other_threshold, scores), source


def _scores(sides: Sides, screening: Screening | None) -> tuple[Any, str]:
    mine = services()
    twin = None if screening is None else mine.screenings.twin(screening, sides.other)
    if screening is not None and twin is not None and twin.state == DONE and twin.detector == sides.other:
        left = ScreeningOutcome(UploadFolder.kept(mine.settings.instance, twin.id), twin.threshold)
        if left.there:
            return scores_of(screening.id, left.probability), f"{sides.other} has scored the same file, too."
    runs = [
        one
        for one in mine.detectors.shadows.all()
        if (one.first, one.shadow) == (sides.detector, sides.other)
    ]
    # what runs in the shadow is told to those alone who decide on it
    if runs and may("decide"):
        store = ShadowStore(mine.ledger.tables, mine.ledger.velocity)
        return store.table(runs[0].id), f"{sides.other} has run in the shadow of {sides.detector}."
    if twin is not None and twin.state in OPEN_STATES:
        raise NoScores(
            f"{sides.other} scores these rows just now.", remedy="Load this page again when it is done."
        )
    remedy = (
        f"Screen the same file with {sides.other}, too."
        if screening is not None
        else f"Let {sides.other} run in the shadow of {sides.detector}, or compare one file that both have screened."
    )
    raise NoScores(f"{sides.other} hasn't scored these rows.", remedy=remedy)


def _words(sides: Sides) -> tuple[str, str]:
    """Return what the two are called where they are set beside each other."""
    if sides.detector == sides.other:
        return f"{sides.threshold:g}", f"{sides.other_threshold:g}"
    if sides.threshold == sides.other_threshold:
        return sides.detector, sides.other
    return f"{sides.detector} at {sides.threshold:g}", f"{sides.other} at {sides.other_threshold:g}"
