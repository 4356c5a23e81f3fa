"""``flask --app app train``: a labelled file becomes a detector, by the same process as on the page."""

from __future__ import annotations

import re
import sys
import tempfile
import time as clock
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource
from flask.cli import with_appcontext

from screening.columns.clocks import TRAINING_ANSWERS, of_file
from screening.detectors.model_card import read_card
from screening.errors import ScreeningError
from screening.infra.child_work import Killed
from screening.intake import FileKind, identify
from screening.intake.forms import ANSWERS
from screening.intake.tokenizing import ReplacedColumns, replace_card_numbers
from screening.training.column_choices import (
    KINDS,
    ColumnChoice,
    check_columns,
    check_name,
    consequences,
    guessed,
    labelled_as,
    overruled,
    with_counts,
)
from screening.training.composed_choices import put_together
from screening.training.trainer_process import WORKSHOP, Workshop, require_training_parts
from screening.training.training_job import begin_trial, check, detectors_of, put_into_place
from screening.training.trainings import LONGEST_DELAY, TrainingFolder
from screening.transactions.composition import Composition
from screening.transactions.schema import Role
from screening.web.cli.commands import (
    PARTS,
    TOKENIZE,
    only_these,
    operator,
    options_of,
    plainly,
    require_one_is_enough,
    tokens,
)
from screening.web.cli.reviewed import gathered
from screening.web.http import request_audit
from screening.web.services import services
from screening.web.views import formatting

TICK_SECONDS = 0.2
LINE_SECONDS = 5.0
STEPS = 1000
# Without “unit”: amounts are learned in the unit that they are in, and later files are compared with that.
ASKED = {
    **{name: answers for name, answers in ANSWERS.items() if name != "unit"},
    "time_unit": TRAINING_ANSWERS,
}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
DELAY = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])", re.ASCII)
FIGURES = (
    ("Average precision (AP)", "average_precision"),
    ("AUC", "auc"),
    ("Recall at 0.1 % false positives", "recall_at_0_1_percent_fpr"),
    ("Recall at 1 % false positives", "recall_at_1_percent_fpr"),
)


def read_delay(_context: click.Context, _option: click.Parameter, text: str) -> float:
    """Return seconds, from ``7d``."""
    found = DELAY.fullmatch(text.strip().lower())
    if found is None:
        raise click.BadParameter("write it as 7d, 12h, 30m, 90s or 2w")
    seconds = float(found[1]) * UNITS[found[2]]
    if seconds > LONGEST_DELAY * UNITS["d"]:
        raise click.BadParameter(f"at most {LONGEST_DELAY:,} days")
    return seconds


def read_roles(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, Role]:
    """Return roles by column, from ``COLUMN=ROLE``."""
    found = {}
    for text in given:
        column, equals, role = text.rpartition("=")
        if not equals or role.lower() not in set(Role):
            raise click.BadParameter(f"write it as COLUMN=ROLE; roles: {', '.join(Role)}")
        found[column] = Role(role.lower())
    return found


@click.command("train")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--label", metavar="COLUMN", help="The column that says which rows were fraud.")
@click.option(
    "--from-reviews",
    is_flag=True,
    help="Learn from what is known of transactions here: labels of files, chargebacks, decisions on cases.",
)
@click.option("--detector", metavar="NAME", help="Whose transactions, with --from-reviews.")
@click.option(
    "--fraud-value",
    "fraud_values",
    multiple=True,
    metavar="VALUE",
    help="The label's value that means fraud; any other one means legitimate. Given more than once: types of fraud.",
)
@click.option("--time", metavar="COLUMN", help="The column that says when a transaction happened.")
@click.option("--amount", metavar="COLUMN", help="The column of the amount.")
@click.option("--entity", multiple=True, metavar="COLUMN", help="Who or what comes back: card, device, …")
@click.option(
    "--role", "roles", multiple=True, callback=read_roles, metavar="COLUMN=ROLE", help="Any other role."
)
@click.option("--name", help="What the detector is called; without it, by the file's name.")
@click.option(
    "--label-delay", default="7d", show_default=True, callback=read_delay, help="Until a fraud is known."
)
@click.option(
    "--ip-countries",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A table of addresses: CSV with lower bound, upper bound, country; or .mmdb.",
)
@click.option("--keep-leaks", is_flag=True, help="Learn even from columns that give the label away.")
@click.option("--quick", is_flag=True, help="A first look: a small net of fixed size, tested once.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is drawn.")
@TOKENIZE
@PARTS
@options_of(ASKED)
@with_appcontext
@plainly
def train(
    *,
    file: Path | None,
    label: str | None,
    from_reviews: bool,
    detector: str | None,
    fraud_values: tuple[str, ...],
    time: str | None,
    amount: str | None,
    entity: tuple[str, ...],
    roles: dict[str, Role],
    name: str | None,
    label_delay: float,
    ip_countries: Path | None,
    keep_leaks: bool,
    quick: bool,
    seed: int,
    tokenize: tuple[str, ...],
    parts: dict[str, Composition],
    **answers: str | None,
) -> None:
    """Make a detector of FILE, a table of any columns one of which says what was fraud; or of what is known here."""
    require_one_is_enough("Detectors: New")
    require_training_parts()
    wanted = {**roles, **dict.fromkeys(entity, Role.ENTITY)}
    wanted |= {
        column: role for column, role in ((time, Role.TIME), (amount, Role.AMOUNT)) if column is not None
    }
    with tempfile.TemporaryDirectory(prefix="training-", dir=services().settings.instance) as scratch:
        learned_from = None
        if from_reviews:
            reviewed = gathered(Path(scratch), detector, file, label)
            file, label, wanted = reviewed.file, reviewed.label, {**reviewed.roles, **wanted}
            name, learned_from = name or reviewed.name, reviewed.description
            if click.get_current_context().get_parameter_source("label_delay") is ParameterSource.DEFAULT:
                label_delay = reviewed.label_delay or label_delay
        file, label = required_options(file, label, detector if not from_reviews else None)
        name = name or _name_of(file)
        check_name(name, services().detectors.names())
        with file.open("rb") as stream:
            kind = identify(file.name, stream.read(4096))
        filename = file.name
        replaced = with_tokens(file, kind, Path(scratch), tokenize) if tokenize else None
        if replaced is not None:
            file, kind, filename = Path(scratch) / "tokens.csv", FileKind.CSV, f"{file.stem}.csv"
        choices = overruled(guessed(file, kind, label, fraud_values=fraud_values), wanted)
        choices = put_together(choices, parts)
        # what is open is asked below, when all that follows was said
        with suppress(ScreeningError):
            choices = with_counts(choices, answers["time_unit"])
        show_roles(choices)
        for words in consequences(choices):
            click.echo(f"Note: {words}", err=True)
        choices = with_counts(choices, answers["time_unit"])
        check_columns([choice.column for choice in choices])
        labelled = labelled_as(choices)
        order = {
            "file": str(file.resolve()),
            "filename": filename,
            "description": learned_from,
            "tokens": {} if replaced is None else dict.fromkeys(replaced.columns, tokens().key_id),
            "name": name,
            "label": next(one.column.name for one in choices if one.column.role is Role.LABEL),
            "columns": [choice.as_dict() for choice in choices],
            "label_delay": label_delay,
            "keep_leaks": keep_leaks,
            "fraud_values": fraud_values if labelled is None else labelled.fraud_values,
            "answers": {**answers, "time_unit": of_file(answers["time_unit"])},
            "quick": quick,
            "ranges": None if ip_countries is None else str(ip_countries.resolve()),
            "seed": seed,
            "instance": str(services().settings.instance),
        }
        done, target = run_workshop(order)
        _tell(done, name, target)


def required_options(file: Path | None, label: str | None, detector: str | None) -> tuple[Path, str]:
    """Return what a training on a file needs.

    Raises:
        UsageError: something of it wasn't given.
    """
    if detector is not None:
        raise click.UsageError("--detector says whose transactions --from-reviews learns from.")
    if file is None:
        raise click.UsageError("Missing argument 'FILE'.")
    if label is None:
        raise click.UsageError("Missing option '--label'.")
    return file, label


def with_tokens(
    file: Path, kind: FileKind, scratch: Path, columns: tuple[str, ...]
) -> ReplacedColumns | None:
    """Write ``tokens.csv``: the file with tokens in place of the card numbers of some columns.

    Raises:
        CardNumbersFound: other columns hold some, too.
    """
    found = replace_card_numbers(file, kind, scratch / "tokens.csv", tokens(), columns=columns)
    only_these(found, columns)
    if found is not None:
        request_audit.record(
            "card_numbers_replaced",
            user=operator(),
            columns=found.columns,
            cells=found.cells,
        )
        click.echo(f"Tokens in place of card numbers: {', '.join(found.columns)} ({found.cells:,} cells)\n")
    return found


def tell_cleaning(cleaning: dict[str, Any]) -> None:
    """Say what was found in the rows, and how many rows and frauds weren't learned from."""
    if not cleaning:
        return
    click.echo(
        f"\nLearned from {cleaning['rows_learned_from']:,} of {cleaning['rows']:,} rows, "
        f"{cleaning['frauds_learned_from']:,} of {cleaning['frauds']:,} frauds."
    )
    for finding in cleaning["findings"]:
        click.echo(f"  {finding['words']} ({finding['done']})")


def _name_of(file: Path) -> str:
    """Return a detector's name by the file's."""
    plain = re.sub(r"[^a-z0-9_-]+", "-", file.name.split(".")[0].lower()).strip("-_")
    return re.sub(r"^[^a-z]*", "", plain)[:40] or "detector"


def show_roles(choices: list[ColumnChoice]) -> None:
    """Show the roles as a table, with why each was guessed."""
    heads = ("column", "role", "cells", "why")
    rows = [
        (
            one.column.name,
            str(one.column.role),
            f"{one.column.kind}, may be blank" if one.column.optional else str(one.column.kind),
            one.reason,
        )
        for one in choices
    ]
    widths = [max(len(row[place]) for row in (heads, *rows)) for place in range(3)]
    for row in (heads, *rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[3]]).rstrip())
    click.echo("Another role: --role COLUMN=ROLE, with " + ", ".join(KINDS) + "\n")


def run_workshop(order: dict[str, Any]) -> tuple[dict[str, Any], Path]:
    """Run the workshop in the foreground; what it leaves goes with the scratch folder, however this ends."""
    instance = services().settings.instance
    target = detectors_of(instance) / order["name"]
    with tempfile.TemporaryDirectory(prefix="training-", dir=instance) as scratch:
        folder = TrainingFolder(Path(scratch), "command-line")
        folder.create()
        with Workshop(folder, order, WORKSHOP) as workshop:
            watch_progress(workshop)
            try:
                done = workshop.result()
            except Killed:
                raise ScreeningError(
                    "The training was ended from outside, as happens when the memory runs out.",
                    remedy="Train on fewer rows or columns, or on a larger machine.",
                ) from None
        check(folder.made, order["name"], instance)
        put_into_place(folder.made, target)
    begin_trial(services().states, target, operator())
    request_audit.record("training_done", user=operator(), name=order["name"])
    return done, target


def watch_progress(workshop: Workshop) -> None:
    """Show a bar on a terminal, a line now and then elsewhere."""
    shown, due = sys.stdout.isatty(), 0.0
    with click.progressbar(
        length=STEPS, show_eta=False, item_show_func=lambda text: text, hidden=not shown
    ) as bar:
        while workshop.working:
            news = workshop.hear(TICK_SECONDS)
            if not news:
                continue
            if not shown and clock.monotonic() >= due:
                click.echo(f"{news['progress']:4.0%} {news['stage']}")
                due = clock.monotonic() + LINE_SECONDS
            bar.update(max(round(news["progress"] * STEPS) - bar.pos, 0), news["stage"])
        bar.update(STEPS - bar.pos, "")


def _tell(done: dict[str, Any], name: str, target: Path) -> None:
    tell_cleaning(done.get("cleaning") or {})
    tested = (done.get("metrics") or {}).get("validation") or {}
    if tested.get("name"):
        click.echo(f"\nTested on {tested['name']}:")
    intervals = tested.get("interval_95") or {}
    for word, key in FIGURES:
        if tested.get(key) is not None:
            between = intervals.get(key)
            shown = (
                f" (95 %: {formatting.figure(between[0])} to {formatting.figure(between[1])})"
                if between
                else ""
            )
            click.echo(f"  {word:32} {formatting.figure(tested[key])}{shown}")
    threshold = formatting.plain((tested.get("flagged") or {}).get("threshold"))
    for one in tested.get("fraud_types") or ():
        rows = f"{one['rows']:,} test {formatting.plural(one['rows'], 'row')}"
        share = f"{formatting.percent(one['recall'])} of {rows} at {threshold}"
        click.echo(f"  Recall of {one['name']}: {share if one['rows'] else 'none among the test rows'}")
    metrics = read_card(target / "card.json").metrics
    for warning in filter(None, (metrics.doubt, metrics.silence)):
        click.secho(f"\n⚠ {warning}", fg="red", bold=True)
    click.echo(f"Detector {name} is in {target}")
    click.echo(
        f"It is on trial and scores only when it is asked for. flask --app app detectors approve {name}"
    )
