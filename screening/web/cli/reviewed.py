"""What ``train --from-reviews`` learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import click

from screening.transactions.schema import Role
from screening.uploads.labelled_rows import LABEL, gather
from screening.web.services import services
from screening.web.views import formatting

LEAST_DELAY = 60.0
WORDS = {"file": "labels of files", "feed": "labels of programs", "review": "decisions on cases"}


@dataclass(frozen=True, slots=True)
class Reviewed:
    """A file of what is known here, and what its columns are."""

    file: Path
    label: str
    roles: Mapping[str, Role]
    name: str
    label_delay: float | None
    """Seconds; ``None`` where no label came later than its row."""


def gathered(scratch: Path, detector: str | None, file: Path | None, label: str | None) -> Reviewed:
    """Write what is known of a detector's transactions, and tell how much that is.

    Args:
        scratch: the folder for it.
        detector: whose; by default the one that scores where none is asked for.
        file: that was given, too; must be ``None``.
        label: likewise.

    Raises:
        UsageError: a file or its label was given, too.
        BadFile: nothing is known.
    """
    if file is not None or label is not None:
        raise click.UsageError("--from-reviews takes the place of FILE and --label.")
    mine = services()
    chosen = mine.detectors.default if detector is None else mine.detectors.get(detector)
    path = scratch / f"{chosen.name}-reviewed.csv"
    found = gather(path, chosen, mine.ledger, mine.settings.instance)
    told = ", ".join(
        f"{number:,} {WORDS.get(source, source)}" for source, number in found.sources.most_common()
    )
    click.echo(f"{found.rows:,} transactions of {chosen.name}, {found.frauds:,} of them fraud: {told}.")
    if found.left_out:
        click.echo(f"Note: {found.left_out:,} more can't be read any more, and are left out.", err=True)
    delay = None if found.delay is None else max(found.delay, LEAST_DELAY)
    if delay is not None:
        click.echo(f"Half of the labels that came later were there after {formatting.duration(delay)}.")
    contract = chosen.contract
    roles = {column.name: column.role for column in contract.parts()}
    taken = set(mine.detectors.names())
    name = next(each for each in _names(f"{chosen.name}-reviewed") if each not in taken)
    return Reviewed(path, LABEL, roles, name, delay)


def _names(first: str) -> list[str]:
    return [first, *(f"{first}-{number}" for number, _ in zip(count(2), range(98), strict=False))]
