"""Generated tables in the card schema, written and read in any way that a test wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from screening.errors import BadFile, CellProblem
from screening.intake import (
    NOTHING_SAID,
    Answers,
    Batch,
    Forms,
    ReadLimits,
    append_columns,
    identify,
    look_over,
    open_transactions,
    read_records,
    settled,
)
from screening.transactions.schema import CARD, ColumnContract
from tests.screening.intake.intake_tables import lines, numbers


@dataclass
class Outcome:
    """All that came of reading one file."""

    values: np.ndarray
    labels: np.ndarray | None
    bad: np.ndarray
    offsets: np.ndarray
    canonical: Path
    copied: bool
    problems: list[CellProblem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)

    def records(self) -> list[list[str]]:
        return read_records(self.canonical, self.offsets, range(len(self.offsets)))

    def exported(self, **columns: list[str]) -> str:
        return b"".join(append_columns(self.canonical, columns)).decode()


Read = Callable[..., Outcome]
Refused = Callable[..., BadFile]


@pytest.fixture
def table() -> np.ndarray:
    return numbers(12)


@pytest.fixture
def cells(table: np.ndarray) -> list[list[str]]:
    return lines(table)


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads bytes as a file of a name, all the way; a refusal leaves no copy behind."""

    def run(
        data: bytes | str,
        name: str = "transactions.csv",
        *,
        set_aside: bool = False,
        limits: ReadLimits | None = None,
        contract: ColumnContract = CARD,
        answers: Answers = NOTHING_SAID,
    ) -> Outcome:
        raw = data.encode() if isinstance(data, str) else data
        upload, copy = tmp_path / "upload", tmp_path / "copy"
        upload.write_bytes(raw)
        kind = identify(name, raw[:512])
        limits = limits or ReadLimits()

        def at_it(forms: Forms | None) -> list[Batch]:
            with upload.open("rb") as stream:
                source = stream if kind.streams else upload
                opened = open_transactions(
                    source,
                    kind,
                    lambda header: contract,
                    set_aside=set_aside,
                    canonical=copy,
                    forms=forms,
                    limits=limits,
                    answers=answers,
                )
                return list(opened)

        try:
            batches = settled(
                at_it,
                lambda: look_over(upload, kind, lambda header: contract, limits=limits, answers=answers),
                at_once=answers == NOTHING_SAID or not kind.streams,
            )
        except BadFile:
            assert not copy.exists()
            raise
        return _outcome(batches, copy if batches[0].copied else upload)

    return run


@pytest.fixture
def refused(read: Read) -> Refused:
    """Reads like ``read`` and hands back the error that it must end in."""

    def run(data: bytes | str, *args: object, **named: object) -> BadFile:
        with pytest.raises(BadFile) as caught:
            read(data, *args, **named)
        assert caught.value.what
        assert caught.value.remedy
        return caught.value

    return run


def _outcome(batches: list[Batch], canonical: Path) -> Outcome:
    labels = [batch.labels for batch in batches if batch.labels is not None]
    return Outcome(
        values=np.concatenate([batch.transactions.values for batch in batches]),
        labels=np.concatenate(labels) if len(labels) == len(batches) else None,
        bad=np.concatenate([batch.bad for batch in batches]),
        offsets=np.concatenate([batch.offsets for batch in batches]),
        canonical=canonical,
        copied=batches[0].copied,
        problems=[problem for batch in batches for problem in batch.problems],
        notes=[note for batch in batches for note in batch.notes],
        batches=batches,
    )
