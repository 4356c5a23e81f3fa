"""``flask --app app batch``: folders of any size through Spark, with the numbers that a file gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from flask.cli import with_appcontext

from screening.accounts.roles import allows
from screening.errors import NotFound
from screening.infra.audit.log import AuditLog
from screening.intake import Answers
from screening.intake.forms import ANSWERS
from screening.transactions.amount_mixture import mixture_of
from screening.uploads.questions.amounts import check_sign, check_unit
from screening.uploads.questions.column_mappings import Mapping
from screening.uploads.questions.detector_choice import DetectorChoice, mapping_of
from screening.web.cli.commands import columns_of, operator, options_of, plainly
from screening.web.services import services

if TYPE_CHECKING:
    from screening.accounts.users_text import Account
    from screening.batch.settling import SettledForms
    from screening.detectors.detector import Detector
    from screening.ledger.history import DetectorHistory


def _settings(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Return settings of Spark by their names, from ``NAME=VALUE``."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.startswith("spark."):
            raise click.BadParameter("write it as NAME=VALUE, as in spark.executor.memory=4g")
        found[name] = value
    return found


def entered_by(account: Account, detector: Detector, memory: DetectorHistory | None, source: str) -> Any:
    """Return whose decisions a job over a folder enters in the ledger; the audit log is told of it."""
    from screening.batch.entering import Entering

    mine = services()
    owner = account.username.casefold()

    def record(job: str, rows: int, flagged: int) -> None:
        AuditLog(mine.settings.instance).record(
            "job_entered",
            user=operator(),
            job=job,
            owner=owner,
            detector=detector.name,
            folder=source,
            rows=rows,
            flagged=flagged,
        )

    return Entering(
        ledger=mine.ledger,
        owner=owner,
        counts_for_all=allows(account.role, "decide"),
        countries=mine.places.of(detector),
        memory=memory,
        record=record,
    )


@click.command("batch")
@click.argument("source", metavar="INPUT")
@click.argument("target", metavar="OUTPUT")
@click.option("--detector", required=True, help="What scores.")
@click.option(
    "--master",
    metavar="URL",
    help="Spark's master, as in spark://host:7077; by default Spark's own, else this machine.",
)
@click.option(
    "--conf",
    multiple=True,
    callback=_settings,
    metavar="NAME=VALUE",
    help="A setting of Spark (may be given more than once).",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    callback=columns_of,
    metavar="NAME=COLUMN",
    help="What the files call a column of the detector (may be given more than once).",
)
@click.option(
    "--past",
    metavar="FOLDER",
    help="Earlier transactions, in files like those of INPUT, for a detector that looks back.",
)
@click.option(
    "--ledger",
    "owner",
    metavar="ACCOUNT",
    help="Enter the decisions in the ledger, as this account's: all of them when the output is complete, and once.",
)
@options_of(ANSWERS)
@with_appcontext
@plainly
def batch(
    *,
    source: str,
    target: str,
    detector: str,
    master: str | None,
    conf: dict[str, str],
    columns: dict[str, str],
    past: str | None,
    owner: str | None,
    **answers: str | None,
) -> None:
    """Screen all Parquet or CSV files in the folder INPUT, and write the folder OUTPUT."""
    from screening.batch.job import BatchOrder, run
    from screening.batch.spark import session

    mine = services()
    mine.detectors.require_in_use(detector)
    found = mine.detectors.get(detector)
    said = Answers.of(answers)
    account = None if owner is None else mine.users.get(owner)
    if owner is not None and account is None:
        raise NotFound(
            f"There is no account {owner}.", remedy="Name the account whose decisions they are to be."
        )
    context = None
    if found.vectorizer.looks_back:
        context = mine.policy.context(found, None if account is None else account.username.casefold())
    choices: list[DetectorChoice] = []

    def recall(header: list[str]) -> Mapping | None:
        return mapping_of(columns, header, mine.detectors, detector) if columns else None

    def choose() -> Any:
        choices.append(DetectorChoice(mine.detectors, detector, recall, unit=said.unit))
        return choices[-1]

    def check(settled: SettledForms) -> list[str]:
        """Ask what a file would be asked of its amounts."""
        choice, told = choices[-1], settled.told
        notes = choice.check_words(told.words)
        if told.amounts is None:
            return notes
        notes += check_sign(found, told.amounts, said, told=settled.forms.sign_told)
        return notes + check_unit(choice, told.amounts, said, told.words, mixture_of(told.amounts))

    order = BatchOrder(
        source=source,
        target=target,
        detector=found,
        choose=choose,
        threshold=mine.thresholds.of(detector).review,
        check=check,
        answers=said,
        context=context,
        past=past,
        entering=None if account is None else entered_by(account, found, context, source),
    )
    with session(master, conf) as spark:
        summary = run(spark, order)
    click.echo(
        f"{summary.rows:,} rows, {summary.flagged:,} flagged, {summary.rejected:,} rejected; "
        f"detector {detector}, threshold {order.threshold:g}"
    )
    for note in dict.fromkeys((*choices[-1].notes, *found.warnings, *summary.notes)):
        click.echo(f"Note: {note}", err=True)
    click.echo(f"Written to {target}")
