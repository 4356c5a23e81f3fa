"""``flask --app app screen``: the line without a browser, through the same functions as the pages."""

from __future__ import annotations

import getpass
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Sequence
from collections.abc import Mapping as Given
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any

import click
from flask import Flask
from flask.cli import with_appcontext

from screening.cards.tokens import Tokens
from screening.errors import CardNumbersFound, Conflict, ScreeningError
from screening.intake import Answers, FileKind, identify
from screening.intake.forms import ANSWERS
from screening.intake.tokenizing import ReplacedColumns
from screening.rules.files import FileRules
from screening.transactions.composition import BadParts, Composition
from screening.transactions.schema import Role, normalise
from screening.uploads import exports
from screening.uploads.line.conclusion import ScreeningSummary
from screening.uploads.line.order import ScreeningOrder
from screening.uploads.line.screen import screen
from screening.uploads.questions import card_tokens
from screening.uploads.questions.column_mappings import Mapping
from screening.uploads.questions.detector_choice import ROLES, DetectorChoice, Said, mapping_of
from screening.uploads.results import ScreeningOutcome
from screening.uploads.upload_folder import UploadFolder
from screening.web.services import services


def operator() -> str:
    """Return who works at the command line, as the audit log names them; no account can have this name."""
    return f"{getpass.getuser()} (command line)"


def require_one_is_enough(page: str) -> None:
    """Refuse a change that takes two people here: at the command line nobody is known to be another one.

    Args:
        page: where it is proposed instead.

    Raises:
        Conflict: ``FOUR_EYES`` is on.
    """
    if services().settings.four_eyes:
        raise Conflict(
            "With FOUR_EYES=on this change takes two people, and the command line knows of one.",
            remedy=f"Propose it on the page {page}; somebody else approves it on the page Approvals.",
        )


def init_app(app: Flask) -> None:
    """Add the commands."""
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


READING_HELP = {
    "dates": "The order of day, month and year, where the file leaves it open.",
    "decimal": "The decimal mark, where the file leaves it open.",
    "sign": "turn: what leaves an account is written as negative.",
    "time_unit": "What the numbers of the time column count.",
    "unit": "What the amounts count, seen from the detector: cents where 1250 means 12.50, whole where it means 1,250.",
}


def columns_of(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Return the file's names of some columns, by the detector's, from ``NAME=COLUMN``."""
    found = {}
    for text in given:
        ours, equals, theirs = text.partition("=")
        if not equals or not ours.strip() or not theirs.strip():
            raise click.BadParameter("write it as NAME=COLUMN: the detector's name, then the file's")
        found[ours.strip()] = theirs.strip()
    return found


def read_parts(
    _context: click.Context, _option: click.Parameter, given: tuple[str, ...]
) -> dict[str, Composition]:
    """Return the parts of the amount and the time, from ``amount:debit=COLUMN``."""
    parts: dict[str, dict[str, str]] = {}
    for text in given:
        whole, equals, theirs = text.partition("=")
        role, colon, part = whole.partition(":")
        if not equals or not colon or role.strip() not in ROLES or not theirs.strip():
            raise click.BadParameter(f"write it as {' or '.join(ROLES)}, a colon, the part, = and the column")
        parts.setdefault(role.strip(), {})[part.strip()] = theirs.strip()
    try:
        found = {role: Composition.of(each) for role, each in parts.items()}
    except BadParts as problem:
        raise click.BadParameter(str(problem)) from None
    wrong = [role for role, made in found.items() if made.is_amount is not (role == Role.AMOUNT)]
    if wrong:
        raise click.BadParameter(f"{', '.join(found[wrong[0]].kinds)} make no {wrong[0]}")
    return found


PARTS = click.option(
    "--part",
    "parts",
    multiple=True,
    callback=read_parts,
    metavar="ROLE:PART=COLUMN",
    help="A part of the amount (debit and credit; amount and direction) or of the time (date, or year, month and day; "
    "time, or hour, minute and second), as in amount:debit=Soll. Given once for each part. direction-blank-in and "
    "direction-blank-out are a direction whose blanks mean that money comes in, or leaves.",
)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how a file is meant which can be read in two ways."""
    return options_of(ANSWERS)(command)


def options_of(answers: Given[str, Sequence[str]]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return what adds an option for each question, with its answers."""
    return lambda command: _with_options(command, answers)


def _with_options(command: Callable[..., Any], answers: Given[str, Sequence[str]]) -> Callable[..., Any]:
    for name, values in reversed(list(answers.items())):
        option = f"--{name.replace('_', '-')}"
        command = click.option(option, name, type=click.Choice(values), help=READING_HELP[name])(command)
    return command


TOKENIZE = click.option(
    "--tokenize",
    multiple=True,
    metavar="COLUMN",
    help="Put tokens in place of the card numbers of this column (may be given more than once).",
)


@click.command("screen")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write scores.csv here."
)
@click.option("--detector", help="Use this detector instead of the one that the header picks.")
@click.option("--set-aside", is_flag=True, help="Score the good rows and list the bad ones.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    callback=columns_of,
    metavar="NAME=COLUMN",
    help="What the file calls a column of the detector (may be given more than once).",
)
@PARTS
@TOKENIZE
@reading_options
@with_appcontext
@plainly
def screen_file(
    *,
    file: Path,
    output: Path | None,
    detector: str | None,
    set_aside: bool,
    columns: dict[str, str],
    parts: dict[str, Composition],
    tokenize: tuple[str, ...],
    **answers: str | None,
) -> None:
    """Screen FILE and say how many rows are flagged."""
    if output is not None and output.resolve() == file.resolve():
        raise click.UsageError(f"The scores would replace {file} itself: give another name after -o.")
    with file.open("rb") as head:
        kind = identify(file.name, head.read(4096))
    with tempfile.TemporaryDirectory(prefix="screen-", dir=services().settings.instance) as scratch:
        folder = UploadFolder(Path(scratch), "command-line")
        folder.create()
        shutil.copyfile(file, folder.input)
        folder.complete()
        if tokenize:
            only_these(card_tokens.replace_in(folder, kind, tokens(), columns=tokenize), tokenize)
        said: Said = {**columns, **parts}
        found = screen_with_tokens(
            folder, kind, detector, said, set_aside=set_aside, answers=Answers.of(answers)
        )
        _say(found, ScreeningOutcome(folder, found.threshold))
        for note in card_tokens.note_of(folder):
            click.echo(f"Note: {note}", err=True)
        if output is not None:
            write_beside(output, folder, found.threshold)


def screen_with_tokens(
    folder: UploadFolder,
    kind: FileKind,
    detector: str | None,
    said: Said,
    *,
    set_aside: bool,
    answers: Answers,
) -> ScreeningSummary:
    """Screen the file; where its detector learned from tokens, with tokens in place of its card numbers."""

    def recall(header: list[str]) -> Mapping | None:
        return mapping_of(said, header, services().detectors, detector) if said else None

    mine = services()
    order = ScreeningOrder(
        limits=mine.thresholds.of,
        wanted=detector,
        set_aside=set_aside,
        answers=answers,
        recall=recall,
        context=lambda found: mine.policy.context(found, None),
        rules=FileRules(mine.rules, mine.places, mine.settings.instance),
        probabilities=mine.probabilities,
        on_choice=lambda found: card_tokens.check_key(found, tokens()) if folder.tokens.exists() else None,
    )

    def run() -> ScreeningSummary:
        return screen(folder, folder.kind(kind), mine.detectors, order)

    try:
        return run()
    except CardNumbersFound as problem:
        found = card_tokens.replace_in(folder, kind, tokens(), places=problem.places)
        choice = DetectorChoice(services().detectors, detector, recall)
        if found is None or not card_tokens.expected(folder, choice, found):
            raise
    return run()


def tokens() -> Tokens:
    """Return the tokens of this instance."""
    return card_tokens.tokens_of(services().settings.instance)


def only_these(found: ReplacedColumns | None, wanted: Collection[str]) -> None:
    """Refuse a file that holds card numbers in other columns, too, than those that were named.

    Raises:
        CardNumbersFound: it does.
    """
    known = {normalise(name) for name in wanted}
    others = [name for name in ([] if found is None else found.columns) if normalise(name) not in known]
    if others:
        raise CardNumbersFound.of(others)


def _say(found: ScreeningSummary, outcome: ScreeningOutcome) -> None:
    click.echo(
        f"{found.rows:,} rows, {found.flagged:,} flagged, {found.set_aside:,} set aside; "
        f"detector {found.detector}, threshold {found.threshold:g}"
    )
    for note in found.notes:
        click.echo(f"Note: {note}", err=True)
    for problem in outcome.meta["set_aside"]:
        click.echo(f"Set aside: row {problem['row']}, {problem['column']}: {problem['problem']}", err=True)


def write_beside(output: Path, folder: UploadFolder, threshold: float) -> None:
    """Write beside the target first: a full disk leaves no half file under the wanted name."""
    part = output.with_name(f".{output.name}.part")
    try:
        with part.open("wb") as out:
            out.writelines(exports.scores_csv(ScreeningOutcome(folder, threshold)))
        part.replace(output)
    except OSError as problem:
        raise click.ClickException(f"{output} can't be written: {problem.strerror}.") from None
    finally:
        with suppress(OSError):
            part.unlink()
    click.echo(f"Scores written to {output}")
