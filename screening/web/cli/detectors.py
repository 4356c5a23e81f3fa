"""``flask --app app detectors …``: what is here, and what may score."""

from __future__ import annotations

import json

import click
from flask.cli import AppGroup

from screening.detectors.detector import Detector
from screening.errors import BadArtefact, NotFound
from screening.shadow.desk import ShadowDesk
from screening.web.cli.commands import operator, plainly, require_one_is_enough
from screening.web.http import request_audit
from screening.web.services import services

detectors = AppGroup("detectors", help="The detectors of this installation.")


@detectors.command("list")
@plainly
def list_detectors() -> None:
    """Show one line for each detector: name, state, columns, fingerprint; warnings below it."""
    mine = services().detectors
    for name, standing in mine.standings().items():
        try:
            detector = mine.get(name)
        except BadArtefact as problem:
            click.echo(f"{name}\t{standing.state}\tcan't be loaded: {problem}")
            continue
        count, fingerprint = len(detector.contract.columns), detector.fingerprint[:16]
        click.echo(f"{name}\t{standing.state}\t{count} columns\t{fingerprint}")
        for warning in detector.warnings:
            click.echo(f"\twarning: {warning}")
        _say_doubt(detector)


@detectors.command("show")
@click.argument("name")
@plainly
def show_detector(name: str) -> None:
    """Show the whole card as JSON."""
    detector, standing = services().detectors.get(name), services().detectors.standing(name)
    shown = {
        "name": detector.name,
        "state": standing.state,
        "owner": standing.owner,
        "said_by": standing.said_by,
        "said": standing.said and standing.said.isoformat(),
        "fingerprint": detector.fingerprint,
        "model_sha256": detector.model_sha256,
        "vectorizer_sha256": detector.vectorizer_sha256,
        "contract": detector.contract.as_dict(),
        "warnings": detector.warnings,
        "doubt": doubt_of(detector),
        "card": None if detector.card is None else detector.card.raw,
    }
    click.echo(json.dumps(shown, indent=2))


@detectors.command("compile")
@plainly
def compile_nets() -> None:
    """Compile the nets that aren't yet; a server without the training parts then scores with them."""
    broken = []
    for name in services().detectors.names():
        try:
            services().detectors.get(name).prepare()
        except BadArtefact as problem:
            broken.append(name)
            click.echo(f"{name}\tcan't be used: {problem}", err=True)
        else:
            click.echo(f"{name}\tcompiled")
    if broken:
        raise BadArtefact(f"Not compiled: {', '.join(broken)}.")


@detectors.command("approve")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Approve it although its test doesn't show that it beats guessing.")
@plainly
def approve(name: str, yes: bool) -> None:
    """Let NAME score every file that has its columns."""
    require_one_is_enough("Detectors")
    _say_doubt(services().detectors.get(name))
    detector = services().detectors.approve(name, operator(), confirmed=yes)
    _record("detector_approved", detector, confirmed=yes)


@detectors.command("retire")
@click.argument("name")
@plainly
def retire(name: str) -> None:
    """Let NAME score nothing new; what it has scored stays readable."""
    require_one_is_enough("Detectors")
    _record("detector_retired", services().detectors.retire(name, operator()), confirmed=False)


@detectors.command("shadow")
@click.argument("name", required=False)
@click.option(
    "--of", "first", help="The one whose decisions it scores; by default the one that decides unnamed."
)
@click.option("--stop", "stopped", is_flag=True, help="Let it score no more.")
@plainly
def shadow(name: str | None, first: str | None, *, stopped: bool) -> None:
    """Let NAME score, afterwards, what another detector decides on; without NAME, tell how far each run is."""
    mine = services()
    desk = ShadowDesk(mine.detectors, mine.ledger, mine.screenings)
    if name is not None:
        first = first or mine.detectors.in_place_of(mine.detectors.default)[0].name
        if stopped:
            run = next((one for one in mine.detectors.shadows.running().values() if one.shadow == name), None)
            if run is None:
                raise NotFound(f"{name} runs in nobody's shadow.")
            desk.stop(run.id, operator())
        else:
            run = desk.start(first, name, operator())
            if run.lacking:
                click.echo(f"\tcolumns that {run.first} doesn't need: {', '.join(run.lacking)}", err=True)
        event = "shadow_stopped" if stopped else "shadow_started"
        request_audit.record(event, user=operator(), run=run.id, first=run.first, shadow=run.shadow)
    for run in mine.detectors.shadows.all():
        count = desk.standing(run).count
        counts = [0] * 4 if count is None else [count.scored, count.unreadable, count.failed, count.dropped]
        told = "{:,} scored, {:,} unreadable, {:,} failed, {:,} left out".format(*counts)
        state = "going on" if run.runs else f"stopped{f': {run.reason}' if run.reason else ''}"
        click.echo(f"{run.shadow}\tin the shadow of {run.first}\t{told}\t{state}")


@detectors.command("promote")
@click.argument("name")
@click.option("--of", "first", help="Whose place it takes; by default that of the one that decides unnamed.")
@click.option("--back", is_flag=True, help="Take the promotion of NAME back.")
@click.option("--yes", is_flag=True, help="Do it although its test doesn't show that it beats guessing.")
@plainly
def promote(name: str, first: str | None, *, back: bool, yes: bool) -> None:
    """Let NAME decide wherever another detector would have been chosen without being named."""
    require_one_is_enough("Shadow")
    mine = services().detectors
    if back:
        held = next((row for row in mine.promotions.holding().values() if row.promoted == name), None)
        if held is None:
            raise NotFound(f"{name} is in nobody's place.")
        row = mine.take_back(held.id, operator())
    else:
        _say_doubt(mine.get(name))
        first = first or mine.in_place_of(mine.default)[0].name
        row = mine.promote(first, name, operator(), confirmed=yes)
    event = "promotion_taken_back" if back else "detector_promoted"
    about = {"promotion": row.id, "replaced": row.replaced, "promoted": row.promoted}
    request_audit.record(event, user=operator(), **about, fingerprint=row.fingerprint)
    click.echo(f"{row.replaced if back else row.promoted} decides in the place of {row.replaced}")


def _record(event: str, detector: Detector, *, confirmed: bool) -> None:
    doubt = doubt_of(detector)
    more = {"doubt": doubt, "confirmed": confirmed} if doubt else {}
    about = {"name": detector.name, "fingerprint": detector.fingerprint}
    request_audit.record(event, user=operator(), **about, **more)
    click.echo(f"{detector.name}: {services().detectors.standing(detector.name).state}")


def _say_doubt(detector: Detector) -> None:
    doubt = doubt_of(detector)
    if doubt:
        click.secho(f"\t⚠ {doubt}", fg="red", bold=True, err=True)


def doubt_of(detector: Detector) -> str:
    """Return what the card says that a detector is doubtful for; empty for nothing."""
    return "" if detector.card is None else detector.card.metrics.doubt
