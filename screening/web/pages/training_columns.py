"""The page on which an administrator says what the columns of a labelled file are, before a detector is made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from screening.columns.clocks import TRAINING_ANSWERS, of_file
from screening.errors import CardNumbersFound, Conflict, ScreeningError
from screening.intake import Answers, numbers
from screening.intake.preview import preview
from screening.training.column_choices import (
    ColumnChoice,
    check_columns,
    check_name,
    consequences,
    fitted,
    guessed,
    labelled_as,
    with_counts,
)
from screening.training.composed_choices import ROLES, made_of, put_together, taken_apart
from screening.training.trainings import LONGEST_DELAY, Training, TrainingFolder
from screening.transactions.composition import BadParts, Composition
from screening.transactions.schema import CellKind, Column, Role
from screening.transactions.times import StartUnit
from screening.uploads.questions.card_tokens import replace_in, replaced_in, tokens_of
from screening.web.http import request_audit
from screening.web.http.sessions import require
from screening.web.services import services
from screening.web.views import approvals
from screening.web.views.files.column_readings import ColumnReading, parts_of, readings

blueprint = Blueprint("choosing", __name__)

DAY = 86_400
USUAL_DELAY = 7
AS_TOLD = "auto"
# The sign of the amounts isn't among them: it is learned as it stands.
OPEN = ("dates", "decimal", "time_unit")


NO_PART = "none"
"""Value that the form sends for a part that no column is."""
MOST_READ = 500
"""Rows of which some show what a value in several columns would be."""


class BadField(ScreeningError):
    """A field holds something that can't be meant."""

    title = "This can't be started as it is"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormValues:
    """Values of the form, as it was sent or as it is first shown."""

    name: str
    choices: tuple[ColumnChoice, ...]
    delay: str = f"{USUAL_DELAY}"
    """Days until a fraud is known, as written."""
    fraud_values: tuple[str, ...] = ()
    answers: Mapping[str, str] = field(default_factory=dict)
    """Meaning of columns that can be read in two ways."""
    tokens: Mapping[str, str] = field(default_factory=dict)
    """Columns in which tokens stand for card numbers, each with the name of the key."""
    agreed: bool = False
    """Whether it shall be learned from tokens."""
    keep_leaks: bool = False
    quick: bool = False
    remember: bool = True

    @classmethod
    def of(cls, training: Training) -> FormValues:
        """Return the form as it was guessed, or chosen the last time."""
        options = training.options
        return cls(
            name=training.name,
            choices=tuple(ColumnChoice.from_dict(one) for one in options["columns"]),
            delay=f"{options.get('label_delay', USUAL_DELAY * DAY) / DAY:g}",
            fraud_values=tuple(options.get("fraud_values", ())),
            answers=said_answers(options),
            tokens=options.get("tokens", {}),
            agreed=options.get("agreed", False),
            keep_leaks=options.get("keep_leaks", False),
            quick=options.get("quick", False),
            remember=options.get("remember", True),
        )

    @classmethod
    def sent(cls, before: FormValues, form: Mapping[str, str]) -> FormValues:
        """Return the form as it was sent.

        Raises:
            BadForm: it isn't the form of these columns.
        """
        if form.get("shape") != before.shape:
            raise BadField(
                "The columns were put together in another way meanwhile.", remedy="Open the page once more."
            )
        return cls(
            name=form.get("name", "").strip(),
            choices=tuple(choice_of(one, place, form) for place, one in enumerate(before.choices)),
            delay=form.get("label_delay", "").strip(),
            fraud_values=before.fraud_values,
            answers={name: value for name in OPEN if (value := form.get(name, AS_TOLD)) != AS_TOLD},
            tokens=before.tokens,
            agreed="tokens" in form,
            keep_leaks="keep_leaks" in form,
            quick="quick" in form,
            remember="remember" in form,
        )

    @property
    def shape(self) -> str:
        """Hash of the columns, and of those that are put together: the form of others can't be meant for these."""
        names = [(one.column.name, one.column.made and str(one.column.role)) for one in self.choices]
        return sha256(json.dumps(names).encode()).hexdigest()[:16]

    def options(self) -> dict[str, Any]:
        """Return the options as they are kept with the training.

        Raises:
            ScreeningError: it can't be started so.
        """
        check_name(self.name, services().detectors.names())
        said = self.answers.get("time_unit", AS_TOLD)
        if said not in (AS_TOLD, *TRAINING_ANSWERS):
            raise BadField("The form isn't that of this file.", remedy="Open the page once more.")
        unit = None if said == AS_TOLD else said
        choices = with_counts(self.choices, unit)
        columns = [choice.column for choice in choices]
        check_columns(columns)
        if self.tokens and not self.agreed:
            raise BadField(
                "It isn't said whether the detector shall learn from tokens in place of card numbers.",
                where="tokens",
                remedy="Say so, or delete the file.",
            )
        return {
            "label": next(column.name for column in columns if column.role is Role.LABEL),
            "fraud_values": list(self.fraud_values),
            "answers": asdict(Answers.of({**self.answers, "time_unit": of_file(unit)})),
            "time_unit": unit,
            "columns": [choice.as_dict() for choice in choices],
            "tokens": dict(self.tokens),
            "agreed": self.agreed,
            "label_delay": _seconds(self.delay),
            "keep_leaks": self.keep_leaks,
            "quick": self.quick,
            "remember": self.remember,
            "seed": 0,
        }


@blueprint.get("/trainings/<training_id>/columns")
@require("train")
def columns(training_id: str) -> str:
    """Show the guessed role of each column, and the reason; all of it can be changed."""
    training = guess(_mendable(training_id))
    return columns_page(training, FormValues.of(training))


@blueprint.post("/trainings/<training_id>/columns")
@require("train")
def start(training_id: str) -> Any:
    """Start the training with the chosen columns. Where they are put together in another way than before, what follows
    from that is shown first.
    """
    training = guess(_mendable(training_id))
    before = FormValues.of(training)
    single = FormValues.sent(before, request.form)
    try:
        chosen = replace(single, choices=tuple(composed_choices(list(single.choices), before, request.form)))
    except BadField as problem:
        return columns_page(training, single, problem.as_dict(), sent=request.form), problem.status
    if chosen.shape != before.shape:
        kept = {**training.options, "columns": [one.as_dict() for one in chosen.choices]}
        services().trainings.describe(training.id, kept)
        return columns_page(training, chosen, changed=True)
    try:
        ordered = {"name": chosen.name, "options": chosen.options(), "card_columns": list(chosen.tokens)}
        begin(training, ordered)
    except ScreeningError as problem:
        return columns_page(training, chosen, problem.as_dict()), problem.status
    return redirect(url_for("trainings.show", training_id=training.id), HTTPStatus.SEE_OTHER)


def begin(training: Training, ordered: Mapping[str, Any]) -> bool:
    """Let a training begin, or propose it where four eyes look at it; tell which.

    Args:
        training: whose columns are chosen.
        ordered: the detector's ``name``, the ``options`` of the training, its ``card_columns``, and what else the
            audit log is to say.

    Raises:
        ScreeningError: it can't be started, or proposed.
    """
    services().trainings.require_free(ordered["name"], training.id)
    words = f"{ordered['name']} is trained on {training.filename}."
    given = {"training": training.id, "sha256": training.sha256, **ordered}
    return approvals.carry_out("training_start", ordered["name"], words, given)


@approvals.action("training_start", "Training of a detector", "train")
def _start(given: Mapping[str, Any], by: str) -> str:
    del by  # the training has its owner
    training = services().trainings.get(given["training"])
    if training is None or not training.mendable or training.sha256 != given["sha256"]:
        raise approvals.Outdated(
            "The training that was proposed was started, cancelled or deleted since.",
            remedy="Reject it, and look at the list of detectors.",
        )
    services().trainings.order(training.id, given["name"], given["options"])
    told = {name: value for name, value in given.items() if name != "options"}
    request_audit.record("training_started", **told)
    return f"The training of {given['name']} begins."


def guess(training: Training) -> Training:
    """Guess the roles of its columns, if that wasn't done yet. Card numbers are replaced by tokens before.

    Raises:
        BadFile: the file can't be read, or has no such label.
    """
    if "columns" in training.options:
        return training
    if "label" not in training.options:
        raise Conflict(
            "What was kept of this training is damaged.", remedy="Delete it, and send the file once more."
        )
    folder = TrainingFolder(services().settings.instance, training.id)
    tokens = tokens_of(services().settings.instance)
    folder.drop_replaced()
    try:
        choices = guess_roles(training, folder)
    except CardNumbersFound as problem:
        found = replace_in(folder, training.kind, tokens, places=problem.places)
        if found is None:
            raise
        request_audit.record(
            "card_numbers_replaced",
            training=training.id,
            columns=found.columns,
            cells=found.cells,
            agreed="to be asked",
        )
        choices = guess_roles(training, folder)
    replaced = replaced_in(folder)
    labelled = labelled_as(choices)
    fraud_values = (
        training.options.get("fraud_values", []) if labelled is None else list(labelled.fraud_values)
    )
    options = {
        **training.options,
        "columns": [choice.as_dict() for choice in choices],
        "fraud_values": fraud_values,
        "tokens": {} if replaced is None else dict.fromkeys(replaced.columns, tokens.key_id),
    }
    services().trainings.describe(training.id, options)
    return services().trainings.found(training.id)


def guess_roles(training: Training, folder: TrainingFolder) -> list[ColumnChoice]:
    """Return the guessed role of each column of a training's file."""
    return guessed(
        folder.input,
        folder.kind(training.kind),
        training.options["label"],
        scratch=folder.path,
        fraud_values=training.options.get("fraud_values", ()),
    )


def said_answers(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the answers about open columns, by question."""
    said = {
        **options.get("answers", {}),
        **({"time_unit": unit} if (unit := options.get("time_unit")) else {}),
    }
    if said.get("time_unit") == "s":
        said["time_unit"] = StartUnit.SECONDS.value
    return {name: value for name, value in said.items() if value}


def _mendable(training_id: str) -> Training:
    training = services().trainings.found(training_id)
    if not training.mendable:
        raise Conflict(
            "The columns of this training can't be changed any more.", remedy="Look at its page for why."
        )
    return training


def composed_choices(
    choices: list[ColumnChoice], before: FormValues, form: Mapping[str, str]
) -> list[ColumnChoice]:
    """Return the choices with what the form says is made of several columns.

    Raises:
        BadForm: the parts make no value together; another column has the role as well; it isn't the form of these
            columns.
    """
    given = {
        one.column.role: one.column.name
        for one, old in zip(choices, before.choices, strict=True)
        if one.column.made is None and one.column.role is not old.column.role
    }
    for role in ROLES:
        parts = {}
        for part, _ in parts_of(role):
            place = form.get(f"part-{role}-{part}", NO_PART)
            if place == NO_PART:
                continue
            if not (place.isascii() and place.isdigit() and int(place) < len(before.choices)):
                raise BadField("The form isn't that of this file.", remedy="Open the page once more.")
            parts[part.value] = before.choices[int(place)].column.name
        known = made_of(before.choices, role)
        if parts == ({} if known is None else known.as_dict):
            continue
        if not parts:
            choices = taken_apart(choices, role)
            continue
        made = _made(role, parts)
        other = given.get(role)
        if other is not None and other not in parts.values():
            raise BadField(
                f"{other} is the {role}, and parts are chosen for it, too.",
                where=f"column {other}",
                remedy="Choose either the column or the parts.",
            )
        choices = put_together(choices, {role: made})
    return choices


def _made(role: Role, parts: Mapping[str, str]) -> Composition:
    try:
        if len(set(parts.values())) < len(parts):
            raise BadParts("one column can't be two parts")  # noqa: TRY301
        made = Composition.of(parts)
        if made.is_amount is not (role is Role.AMOUNT):
            raise BadParts(f"{', '.join(parts)} make no {role}")  # noqa: TRY301
    except BadParts as problem:
        raise BadField(
            f"The {role}: {problem}.", where="parts", remedy="Choose all parts of one way, or none of them."
        ) from None
    return made


def choice_of(before: ColumnChoice, place: int, form: Mapping[str, str]) -> ColumnChoice:
    """Return one column as the form has it; a kind of cells that was left as it was follows the role."""
    try:
        role, kind = Role(form[f"role-{place}"]), CellKind(form[f"kind-{place}"])
    except (KeyError, ValueError):
        raise BadField("The form isn't that of this file.", remedy="Open the page once more.") from None
    column = fitted(replace(before.column, optional=f"blank-{place}" in form), role)
    if kind is not before.column.kind:
        column = replace(column, kind=kind)
    same = (column.role, column.kind) == (before.column.role, before.column.kind)
    if same:
        return replace(before, column=column)
    return replace(before, column=column, reason="chosen here", chosen=True)


def _seconds(days: str) -> float:
    found = numbers.typed(days)
    if found is None or not 0 <= found <= LONGEST_DELAY:
        raise BadField(
            f"“{days[:20]}” is no number of days.",
            where="label_delay",
            remedy=f"Give a number from 0 to {LONGEST_DELAY:,}.",
        )
    return found * DAY


@dataclass(frozen=True, slots=True)
class _Whole:
    """A value that several columns may make: its parts, each with its words and the column that is chosen, and what
    some rows would be.
    """

    role: Role
    parts: tuple[tuple[str, str, str], ...]
    readings: tuple[ColumnReading, ...]


def _wholes(training: Training, chosen: FormValues, sent: Mapping[str, str]) -> list[_Whole]:
    names = [one.column.name for one in chosen.choices if one.column.made is None]
    folder = TrainingFolder(services().settings.instance, training.id)
    header, rows = preview(folder.input, folder.kind(training.kind), MOST_READ, scratch=folder.path)
    found = []
    for role in ROLES:
        made = made_of(chosen.choices, role)
        single = next((one.column.name for one in chosen.choices if one.column.role is role), None)
        of = {} if made is None else made.as_dict
        parts = [
            (
                part.value,
                words,
                sent.get(f"part-{role}-{part}")
                or (str(names.index(of[part])) if of.get(part) in names else NO_PART),
            )
            for part, words in parts_of(role)
        ]
        kind = CellKind.TIME if role is Role.TIME else CellKind.NUMBER
        found.append(
            _Whole(role, tuple(parts), readings(Column(role, role, kind), header, rows, made or single))
        )
    return found


def columns_page(
    training: Training,
    chosen: FormValues,
    error: dict[str, Any] | None = None,
    *,
    changed: bool = False,
    sent: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the page on which the roles of columns are chosen."""
    return render_template(
        "training_columns.html",
        training=training,
        form=chosen,
        error=error,
        changed=changed,
        wholes=_wholes(training, chosen, sent),
        roles=Role,
        kinds=CellKind,
        consequences=consequences(chosen.choices),
    )
