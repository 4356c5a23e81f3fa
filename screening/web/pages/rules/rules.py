"""Rules: what there is and how it does, writing one, trying it on the past, and switching it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for

from screening.errors import BadArtefact, NotFound, ScreeningError
from screening.ledger.filters import DecisionFilter
from screening.rules import rules_file
from screening.rules.facts import COMMON, KnownFacts
from screening.rules.language.problems import BadRule
from screening.rules.rules_file import written
from screening.rules.store import RuleDraft, draft_of
from screening.rules.tables import ASKED, Effect, Rule, RuleState
from screening.rules.taking import take
from screening.web.http import request_audit
from screening.web.http.sessions import may, require, user
from screening.web.services import services
from screening.web.views import approvals
from screening.web.views import rules as views
from screening.web.views.rules import lists_of, store_of
from screening.web.views.visibility import owner_seen

if TYPE_CHECKING:
    from screening.rules.hits import Hits

blueprint = Blueprint("rules", __name__, url_prefix="/rules")
RECENT_DAYS = 30
BACK = HTTPStatus.SEE_OTHER


@blueprint.get("")
@require("see")
def index() -> str:
    """Show the rules by state, with their hits."""
    from screening.rules.hits import hits

    store = store_of()
    kept = store.all()
    problem: ScreeningError | None = None
    active: Mapping[str, Hits] = {}
    shadow: Mapping[str, Hits] = {}
    try:
        since = datetime.now(UTC) - timedelta(days=RECENT_DAYS)
        active, shadow = hits(
            services().ledger.questions, DecisionFilter(owner=owner_seen(), decided_from=since)
        )
    except ScreeningError as refused:  # it takes too long, or too much memory
        problem = refused
    shipped = {one.draft.name.casefold() for one in rules_file.shipped().rules}
    return render_template(
        "rules.html",
        groups=views.lines(kept, active, shadow, {rule.id: store.problem(rule) for rule in kept}),
        problem=problem,
        all_seen=may("see_all"),
        shipped=len(shipped - {rule.name.casefold() for rule in kept}),
        days=RECENT_DAYS,
    )


@blueprint.get("/new")
@require("draft_rules")
def new() -> str:
    """Show an empty form."""
    return form_page(RuleDraft(name="", condition="", detector=request.args.get("detector")))


@blueprint.post("")
@require("draft_rules")
def create() -> Any:
    """Check what is written, try it on the past, or keep it as a draft."""
    draft = given_draft()
    if request.form.get("do") != "save":
        return trial_page(draft)
    try:
        rule = store_of().add(draft, user().username)
    except ScreeningError as problem:
        return form_page(draft, problem=problem), problem.status
    views.record_change("rule_added", rule)
    flash(f"{rule.name} is kept as a draft: it is asked of nothing yet.")
    return redirect(url_for("rules.show", number=rule.id), BACK)


@blueprint.post("/shipped")
@require("draft_rules")
def add_shipped() -> Any:
    """Keep the rules that come with the shipped detectors as drafts."""
    if not may("decide") and rules_file.shipped().kinds.keys() - store_of().kinds().keys():
        raise ScreeningError(
            "These rules bring a list along, and lists are made by managers.",
            remedy="Ask a manager to add them.",
        )
    made = take(rules_file.shipped(), store_of(), lists_of(), user().username)
    for rule in made.rules:
        views.record_change("rule_added", rule)
    for name in made.lists:
        request_audit.record("rule_list_made", list=name)
    flash(f"{len(made.rules)} rules are kept as drafts. Try each on the past before it is switched on.")
    return redirect(url_for("rules.index"), BACK)


@blueprint.get("/export")
@require("see")
def export() -> Response:
    """Send all rules and lists as a file, without the entries of lists."""
    text = written(store_of().all(), [each for each, _ in lists_of().all()])
    request_audit.record("export", what="rules")
    headers = {"Content-Disposition": "attachment; filename=rules.toml"}
    return Response(text, mimetype="application/toml", headers=headers)


@blueprint.get("/<number>")
@require("see")
def show(number: str) -> str:
    """Show one rule with its history; with ``try=1`` what it would have done."""
    rule = store_of().get(rule_number(number))
    trial, problem = try_draft(draft_of(rule)) if request.args.get("try") else (None, None)
    return form_page(draft_of(rule), rule=rule, trial=trial, problem=problem or store_of().problem(rule))


@blueprint.post("/<number>")
@require("draft_rules")
def change(number: str) -> Any:
    """Check a changed rule, try it on the past, or keep the change."""
    draft, store = given_draft(), store_of()
    rule = store.get(rule_number(number))
    if request.form.get("do") != "save":
        return trial_page(draft, rule)
    seen = request.form.get("version", "")
    if rule.state in ASKED and may("decide") and services().settings.four_eyes:
        return propose(rule, draft, rule_number(seen))
    try:
        rule = store.change(
            rule.id,
            draft,
            user().username,
            decides=may("decide"),
            seen=rule_number(seen),
        )
    except ScreeningError as problem:
        return form_page(draft, rule=rule, problem=problem), problem.status
    views.record_change("rule_changed", rule)
    flash(f"{rule.name} was changed.")
    return redirect(url_for("rules.show", number=rule.id), BACK)


def propose(rule: Rule, draft: RuleDraft, seen: int) -> Any:
    """Propose the change of a rule that is asked of transactions; drafts are changed at once."""
    draft = draft.stripped()
    try:
        store_of().check(draft)
    except ScreeningError as problem:
        return form_page(draft, rule=rule, problem=problem), problem.status
    words = f"{rule.name} ({rule.state}) becomes: {draft.condition} → {draft.effect}."
    given = {"rule": rule.id, "version": seen, "draft": asdict(draft)}
    approvals.carry_out("rule_change", rule.name, words, given)
    return redirect(url_for("rules.show", number=rule.id), BACK)


@approvals.action("rule_change", "Change of a rule")
def _change(given: Mapping[str, Any], by: str) -> str:
    rule = store_of().change(given["rule"], RuleDraft(**given["draft"]), by, seen=given["version"])
    views.record_change("rule_changed", rule)
    return f"{rule.name} was changed."


@approvals.action("rule_state", "State of a rule")
def _set_state(given: Mapping[str, Any], by: str) -> str:
    rule = store_of().set_state(given["rule"], RuleState(given["state"]), by, seen=given["version"])
    views.record_change("rule_state_changed", rule)
    return f"{rule.name}: {rule.state}."


@blueprint.get("/<number>/state")
@require("decide")
def ask_state(number: str) -> str:
    """Show what a rule would have done, before it is switched on."""
    rule, state = store_of().get(rule_number(number)), state_of(request.args.get("to", ""))
    trial, problem = try_draft(draft_of(rule)) if state in ASKED else (None, None)
    return render_template("rule_state.html", rule=rule, state=state, trial=trial, problem=problem)


@blueprint.post("/<number>/state")
@require("decide")
def set_state(number: str) -> Any:
    """Let a rule do something else."""
    state, seen = state_of(request.form.get("to", "")), rule_number(request.form.get("version", ""))
    rule = store_of().get(rule_number(number))
    store_of().require_changeable(rule, state, seen)
    given = {"rule": rule.id, "state": state.value, "version": seen}
    approvals.carry_out("rule_state", rule.name, f"{rule.name} becomes {state} (now {rule.state}).", given)
    return redirect(url_for("rules.show", number=rule.id), BACK)


def form_page(
    draft: RuleDraft,
    *,
    rule: Rule | None = None,
    problem: ScreeningError | None = None,
    trial: Any = None,
    checked: bool = False,
) -> str:
    """Return the page of one rule, new or kept."""
    editable = may("draft_rules") and (rule is None or rule.state not in ASKED or may("decide"))
    return render_template(
        "rule.html",
        draft=draft,
        rule=rule,
        problem=problem,
        trial=trial,
        checked=checked,
        editable=editable,
        versions=[] if rule is None else store_of().versions(rule.id),
        detectors=_known_detectors(),
        effects=views.EFFECTS,
        fraud_types=views.FRAUD_TYPES,
        facts=facts_of(draft.detector),
        list_names=sorted(store_of().kinds()),
        states=list(RuleState),
    )


def trial_page(draft: RuleDraft, rule: Rule | None = None) -> Any:
    """Return the page with what is wrong with a rule, or with what it would have done."""
    if request.form.get("do") == "try":
        trial, problem = try_draft(draft)
        return form_page(
            draft, rule=rule, trial=trial, problem=problem
        ), HTTPStatus.OK if trial else problem.status
    try:
        store_of().check(draft.stripped())
    except ScreeningError as problem:
        return form_page(draft, rule=rule, problem=problem), problem.status
    return form_page(draft, rule=rule, checked=True)


def try_draft(draft: RuleDraft) -> tuple[Any, Any]:
    """Return what a rule would have done, or why that can't be said."""
    from screening.rules.trying import Trials

    mine = services()
    trials = Trials(store_of(), mine.ledger.questions, mine.settings.label_delay_days)
    chosen = DecisionFilter(owner=owner_seen(), detector=draft.detector)
    try:
        return trials.one(draft, chosen=chosen, now=datetime.now(UTC)), None
    except ScreeningError as problem:
        return None, problem


def given_draft() -> RuleDraft:
    """Return what is written in the form.

    Raises:
        BadRule: it is for a detector that this user knows nothing of.
    """
    form = request.form
    wanted = form.get("detector")
    if wanted and wanted not in _known_detectors():
        raise BadRule("There is no such detector.", "detector", "Choose one of the list.")
    return RuleDraft(
        name=form.get("name", ""),
        condition=form.get("condition", ""),
        effect=form.get("effect", Effect.FLAG),
        detector=wanted or None,
        fraud_type=form.get("fraud_type") or None,
        note=form.get("note", ""),
        owner=form.get("owner", ""),
    )


def rule_number(given: str) -> int:
    """Return the number of a rule.

    Raises:
        NotFound: it can't be one's.
    """
    if not (given.isascii() and given.isdigit() and len(given) < 9):
        raise NotFound("There is no such rule.", remedy="Choose one of the list.")
    return int(given)


def state_of(name: str) -> RuleState:
    """Return the state of that name; :class:`BadRule` for any other text."""
    try:
        return RuleState(name)
    except ValueError:
        raise BadRule("There is no such state.", remedy=f"Choose one of: {', '.join(RuleState)}.") from None


def facts_of(detector: str | None) -> Any:
    """Return what a rule can ask for, each once, in its first spelling."""
    facts = COMMON
    if detector is not None and detector in _known_detectors():
        try:
            facts = KnownFacts.of(services().detectors.get(detector)).listed
        except (BadArtefact, NotFound):
            return facts
    return facts


def _known_detectors() -> list[str]:
    mine, me = services().detectors, user().username
    return [
        name for name, standing in mine.standings().items() if standing.is_known_to(me, decides=may("decide"))
    ]
