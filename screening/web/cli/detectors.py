"""``flask --app app detectors …``: what is here, and what may score."""

from __future__ import annotations

import json

import click
from flask.cli import AppGroup

from screening.detectors.detector import Detector
from screening.errors import BadArtefact
from screening.web.cli.commands import operator, plainly
from screening.web.http import request_audit
from screening.web.services import services

detectors = AppGroup("detectors", help="The detectors of this installation.")


@detectors.command("list")
@plainly
def list_detectors() -> None:
    """One line each: name, state, columns, fingerprint; warnings below it."""
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
    """The whole card as JSON."""
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
        "doubt": _doubt(detector),
        "card": None if detector.card is None else detector.card.raw,
    }
    click.echo(json.dumps(shown, indent=2))


@detectors.command("approve")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Approve it although its test doesn't show that it beats guessing.")
@plainly
def approve(name: str, yes: bool) -> None:
    """Let NAME score every file that has its columns."""
    _say_doubt(services().detectors.get(name))
    detector = services().detectors.approve(name, operator(), confirmed=yes)
    _record("detector_approved", detector, confirmed=yes)


@detectors.command("retire")
@click.argument("name")
@plainly
def retire(name: str) -> None:
    """Let NAME score nothing new; what it has scored stays readable."""
    _record("detector_retired", services().detectors.retire(name, operator()), confirmed=False)


def _record(event: str, detector: Detector, *, confirmed: bool) -> None:
    doubt = _doubt(detector)
    more = {"doubt": doubt, "confirmed": confirmed} if doubt else {}
    about = {"name": detector.name, "fingerprint": detector.fingerprint}
    request_audit.record(event, user=operator(), **about, **more)
    click.echo(f"{detector.name}: {services().detectors.standing(detector.name).state}")


def _say_doubt(detector: Detector) -> None:
    doubt = _doubt(detector)
    if doubt:
        click.secho(f"\t⚠ {doubt}", fg="red", bold=True, err=True)


def _doubt(detector: Detector) -> str:
    return "" if detector.card is None else detector.card.metrics.doubt
