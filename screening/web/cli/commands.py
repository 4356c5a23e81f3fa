"""``flask --app app screen|detectors``: the line without a browser, through the same functions as the pages."""

from __future__ import annotations

import getpass
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.cli import AppGroup, with_appcontext

from screening.errors import ScreeningError
from screening.intake import Answers, identify
from screening.intake.forms import ANSWERS
from screening.ledger.history import Context
from screening.uploads import exports
from screening.uploads.pipeline import Found, screen
from screening.uploads.results import Outcome
from screening.uploads.upload_folder import Folder
from screening.web.services import services

detectors = AppGroup("detectors", help="The detectors of this installation.")


def init_app(app: Flask) -> None:
    """Add the commands."""
    app.cli.add_command(detectors)
    app.cli.add_command(screen_file)


def plainly(command: Callable[..., None]) -> Callable[..., None]:
    """Show what is wrong, where and what to do, without a traceback; exit status 1."""

    @wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except ScreeningError as problem:
            click.echo(f"{problem.title}: {problem}", err=True)
            for found in problem.problems:
                click.echo(f"  {found}" + (f" ({found.value})" if found.value else ""), err=True)
            hidden = problem.problem_count - len(problem.problems)
            if hidden > 0:
                click.echo(f"  and {hidden:,} more", err=True)
            sys.exit(1)

    return guarded


def operator() -> str:
    """Return who works at the command line, as the audit log names them."""
    return f"{getpass.getuser()} (command line)"


READING_HELP = {
    "dates": "The order of day, month and year, where the file leaves it open.",
    "decimal": "The decimal mark, where the file leaves it open.",
    "sign": "turn: what leaves an account is written as negative.",
    "time_unit": "What the numbers of the time column count.",
}


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a file is meant which can be read in two ways."""
    for name, values in reversed(ANSWERS.items()):
        option = f"--{name.replace('_', '-')}"
        command = click.option(option, name, type=click.Choice(values), help=READING_HELP[name])(command)
    return command


@click.command("screen")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write scores.csv here."
)
@click.option("--detector", help="Use this detector instead of the one that the header picks.")
@click.option("--set-aside", is_flag=True, help="Score the good rows and list the bad ones.")
@reading_options
@with_appcontext
@plainly
def screen_file(
    file: Path, output: Path | None, detector: str | None, set_aside: bool, **answers: str | None
) -> None:
    """Screen FILE and say how many rows are flagged."""
    if output is not None and output.resolve() == file.resolve():
        raise click.UsageError(f"The scores would replace {file} itself: give another name after -o.")
    with file.open("rb") as head:
        kind = identify(file.name, head.read(4096))
    with tempfile.TemporaryDirectory(prefix="screen-", dir=services().settings.instance) as scratch:
        folder = Folder(Path(scratch), "command-line")
        folder.create()
        shutil.copyfile(file, folder.input)
        folder.complete()
        found = screen(
            folder,
            kind,
            services().detectors,
            wanted=detector,
            set_aside=set_aside,
            threshold=services().settings.threshold,
            on_batch=_silent,
            context=lambda found: Context(services().settings.instance, found),
            probabilities=services().probabilities,
            answers=Answers.of(answers),
        )
        _say(found, Outcome(folder, services().settings.threshold))
        if output is not None:
            _write(output, folder)


def _silent(_done: int) -> None:
    """The command line shows no progress: a file takes a second."""


def _say(found: Found, outcome: Outcome) -> None:
    click.echo(
        f"{found.rows:,} rows, {found.flagged:,} flagged, {found.set_aside:,} set aside; "
        f"detector {found.detector}, threshold {services().settings.threshold:g}"
    )
    for note in found.notes:
        click.echo(f"Note: {note}", err=True)
    for problem in outcome.meta["set_aside"]:
        click.echo(f"Set aside: row {problem['row']}, {problem['column']}: {problem['problem']}", err=True)


def _write(output: Path, folder: Folder) -> None:
    """Beside the target first: a full disk leaves no half file under the wanted name."""
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("wb") as out:
            out.writelines(exports.scores_csv(Outcome(folder, services().settings.threshold)))
        part.replace(output)
    except OSError as problem:
        raise click.ClickException(f"{output} can't be written: {problem.strerror}.") from None
    finally:
        with suppress(OSError):
            part.unlink()
    click.echo(f"Scores written to {output}")


@detectors.command("list")
@plainly
def list_detectors() -> None:
    """One line each: name, columns, fingerprint, warnings."""
    for detector in services().detectors.all():
        click.echo(f"{detector.name}\t{len(detector.contract.columns)} columns\t{detector.fingerprint[:16]}")
        for warning in detector.warnings:
            click.echo(f"\twarning: {warning}")


@detectors.command("show")
@click.argument("name")
@plainly
def show_detector(name: str) -> None:
    """The whole card as JSON."""
    detector = services().detectors.get(name)
    shown = {
        "name": detector.name,
        "fingerprint": detector.fingerprint,
        "model_sha256": detector.model_sha256,
        "vectorizer_sha256": detector.vectorizer_sha256,
        "contract": detector.contract.as_dict(),
        "warnings": detector.warnings,
        "card": None if detector.card is None else detector.card.raw,
    }
    click.echo(json.dumps(shown, indent=2))
