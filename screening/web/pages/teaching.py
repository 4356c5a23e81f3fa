"""For a class: one decision of a detector step by step, and attacks on a generated stream with what they cost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from flask import Blueprint, render_template, request

from screening.detectors.detector import Detector
from screening.errors import NotFound, ScreeningError
from screening.teaching.board import CLASSROOM, LessonPrices, ScoredStream
from screening.teaching.lesson import LADDER, LESSONS, Lesson, NoLesson
from screening.teaching.stream import StreamColumns, StreamPlan
from screening.web.http.sessions import require
from screening.web.services import services
from screening.web.views.charts import geometry as charts
from screening.web.views.detectors.access import look_at, sample_of

blueprint = Blueprint("teaching", __name__, url_prefix="/detectors")
SHOWN = 12
"""Inputs that are shown at first: those that lie farthest from what is usual."""
MOST_ROUNDS = 6
PARTS = 5
"""Numbers by which an address names a round."""


@blueprint.get("/<name>/learn")
@require("see")
def learn(name: str) -> Any:
    """Walk through one decision: row, scaling, layers, probability, threshold; a value can be moved."""
    detector = look_at(name)
    lesson = LESSONS.of(detector, _sample(name))
    problem: ScreeningError | None = None
    # the lesson begins with the row of the highest probability
    row = int(np.argmax(np.nan_to_num(lesson.probabilities, nan=-1)))
    threshold, moved = services().settings.threshold, dict[str, float]()
    try:
        row = _whole("row", 1, len(lesson.records), row + 1) - 1
        threshold = _number("threshold", threshold, 0.0, 1.0)
        moved = moved_value(lesson)
        walk = lesson.walk(row, moved, LESSONS.net(detector, services().detectors.net_file(name)))
    except ScreeningError as found:
        problem, moved = found, {}
        walk = lesson.walk(row, moved, LESSONS.net(detector, services().detectors.net_file(name)))
    column = _column(lesson, row)
    shown = f"{lesson.value(row, column):.10g}" if column else ""
    inputs = sorted(walk.inputs, key=lambda one: (not one.moved, -abs(one.scaled)))
    page = render_template(
        "learn.html",
        detector=detector,
        lesson=lesson,
        walk=walk,
        row=row + 1,
        column=column,
        value=request.args.get("value", "") if problem or moved else shown,
        moved=moved,
        error=problem,
        threshold=threshold,
        inputs=inputs[:SHOWN],
        others=inputs[SHOWN:],
        chart=chart_of(lesson, row, column, moved, walk.probability) if column else None,
        quality=lesson.quality(threshold),
        ladder=[(each, lesson.quality(each)) for each in sorted({*LADDER, threshold})],
        classroom=StreamColumns.of(detector.contract) is not None,
    )
    return page, problem.status if problem else 200


def _column(lesson: Lesson, row: int) -> str:
    """Return the column that is moved: the one that is asked for, or the one that tells most; empty without any."""
    asked = request.args.get("column", "")
    return asked if asked in lesson.movable else lesson.telling(row) or ""


def chart_of(
    lesson: Lesson, row: int, column: str, moved: dict[str, float], probability: float
) -> dict[str, Any]:
    """Return the curve of the probability as one value moves, and its points as a table."""
    own = lesson.value(row, column)
    points = lesson.sweep(row, column)
    marked = [(own, lesson.probability(row, {}), f"as it is: {own:g}")]
    if column in moved:
        marked.append((moved[column], probability, f"moved to {moved[column]:g}"))
    return {"curve": charts.by_value(points, marked), "points": points}


def moved_value(lesson: Lesson) -> dict[str, float]:
    """Return the value that was moved; empty without one.

    Raises:
        NoLesson: it is no number, or of a column that can't be moved.
    """
    raw, column = request.args.get("value", "").strip(), request.args.get("column", "")
    if not raw:
        return {}
    if column not in lesson.movable:
        raise NoLesson(
            "A value of this column can't be moved.",
            where="column",
            remedy="Choose one from the list: numbers only.",
        )
    return {column: _finite("value", raw)}


@blueprint.get("/<name>/classroom")
@require("see")
def classroom(name: str) -> Any:
    """Inject attacks into a stream, screen it, and see what a threshold costs."""
    detector = look_at(name)
    if StreamColumns.of(detector.contract) is None:
        raise NotFound(
            f"The detector {name} needs other columns than a generated stream has.", remedy="Take payments."
        )
    problem: ScreeningError | None = None
    plan, prices, threshold = StreamPlan(), LessonPrices(), services().settings.threshold
    try:
        plan = StreamPlan(
            **{
                part: _whole(part, 0, 10**6, getattr(plan, part))
                for part in ("seed", "spikes", "terminals", "cards")
            }
        )
        threshold = _number("threshold", threshold, 0.0, 1.0)
        prices = LessonPrices(
            _number("review", prices.review, -math.inf, math.inf),
            _number("stopped", prices.stopped, -math.inf, math.inf),
        )
    except ScreeningError as found:
        problem = found
    scored = CLASSROOM.scored(detector, plan)
    ladder = scored.ladder(threshold, prices)
    page = render_template(
        "classroom.html",
        detector=detector,
        plan=plan,
        prices=prices,
        threshold=threshold,
        error=problem,
        scored=scored,
        tallies=scored.tallies(threshold),
        cost=scored.cost(threshold, prices),
        ladder=ladder,
        best=min(ladder, key=lambda each: each.total),
        rounds=earlier_rounds(detector, scored, threshold, prices),
        kept=_kept(plan, threshold),
    )
    return page, problem.status if problem else 200


def earlier_rounds(
    detector: Detector, scored: ScoredStream, threshold: float, prices: LessonPrices
) -> list[dict[str, Any]]:
    """Return the rounds before this one, as the address names them, with what each costs at the present prices."""
    found = []
    for text in request.args.get("rounds", "").split(",")[-MOST_ROUNDS:]:
        parts = text.split("-")
        if len(parts) != PARTS or not all(
            part.isascii() and part.replace(".", "", 1).isdigit() for part in parts
        ):
            continue
        try:
            plan, at = StreamPlan(*(int(part) for part in parts[:4])), float(parts[4])
        except ValueError:
            continue
        except NoLesson:
            continue
        if (plan, at) != (scored.plan, threshold) and 0 <= at <= 1:
            other = CLASSROOM.scored(detector, plan)
            found.append({"plan": plan, "cost": other.cost(at, prices), "nothing": other.nothing})
    return found


def _kept(plan: StreamPlan, threshold: float) -> str:
    """Return how the next address names the rounds up to this one."""
    before = [text for text in request.args.get("rounds", "").split(",") if text]
    mine = f"{plan.seed}-{plan.spikes}-{plan.terminals}-{plan.cards}-{threshold:.6f}".rstrip("0").rstrip(".")
    return ",".join([*(text for text in before if text != mine), mine][-MOST_ROUNDS:])


def _sample(name: str) -> Any:
    found = sample_of(name)
    if found is None:
        raise NotFound(
            f"The detector {name} has no sample file to learn from.",
            remedy="Take one that ships with the product.",
        )
    return found


def _whole(name: str, low: int, high: int, usual: int) -> int:
    raw = request.args.get(name, "").strip()
    if not raw:
        return usual
    if not raw.isascii() or not raw.isdigit() or len(raw) > 9 or not low <= int(raw) <= high:
        raise NoLesson(
            f"“{raw[:20]}” is no whole number from {low} to {high:,}.", where=name, remedy="Correct it."
        )
    return int(raw)


def _number(name: str, usual: float, low: float, high: float) -> float:
    raw = request.args.get(name, "").strip()
    value = usual if not raw else _finite(name, raw)
    if not low <= value <= high:
        raise NoLesson(f"“{raw[:20]}” isn't from {low:g} to {high:g}.", where=name, remedy="Correct it.")
    return value


def _finite(name: str, raw: str) -> float:
    try:
        value = float(raw) if "_" not in raw else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise NoLesson(f"“{raw[:20]}” is no number.", where=name, remedy="Write it as 12.5.")
    return value
