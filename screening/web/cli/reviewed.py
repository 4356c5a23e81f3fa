"""Learn from reviewed transactions: ``train --from-reviews``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from screening.training.from_reviews import delay_of, description, free_name, roles_of
from screening.transactions.schema import Role
from screening.uploads.labelled_rows import LABEL, gather
from screening.web.services import services
from screening.web.views import formatting


@dataclass(frozen=True, slots=True)
class ReviewedFile:
    """A file of what is known here, and what its columns are."""

    file: Path
    label: str
    roles: Mapping[str, Role]
    name: str
    label_delay: float | None
    """Seconds; ``None`` where no label came later than its row."""
    description: str
    """Description for the card."""


def gathered(scratch: Path, detector: str | None, file: Path | None, label: str | None) -> ReviewedFile:
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
    words = description(found, chosen)
    click.echo(words)
    delay = delay_of(found)
    if delay is not None:
        click.echo(f"Half of the labels that came later were there after {formatting.duration(delay)}.")
    name = free_name(chosen.name, mine.detectors.names())
    return ReviewedFile(path, LABEL, roles_of(chosen), name, delay, words)
