"""An order to train a detector, as the page, the command line and the job hand it over: one JSON file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from screening.errors import BadFile
from screening.intake import NOTHING_SAID, Answers
from screening.transactions.composition import Composition
from screening.transactions.schema import CellKind, Column, Role
from screening.transactions.times import StartUnit

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
DELAY = 7 * 86_400.0
"""Seconds until a fraud is known, as in the Fraud Detection Handbook (Le Borgne et al. 2022, chapter 3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOrder:
    """Order for a training: its data, its settings, and the folder of the detector."""

    file: Path
    out: Path
    """The detector's folder; made when the training is done, as a whole."""
    name: str
    filename: str
    """Name of the file where people see it."""
    label: str | None = None
    columns: tuple[Column, ...] | None = None
    """Every column with its role; ``None`` has them guessed."""
    label_delay: float = DELAY
    keep_leaks: bool = False
    fraud_values: tuple[str, ...] = ()
    """The label's values that mean fraud, any other one meaning legitimate; none for those that everybody uses."""
    tokens: Mapping[str, str] = field(default_factory=dict)
    """Columns in which tokens stand for card numbers, each with the name of the key; for the detector's card."""
    chosen: tuple[str, ...] = ()
    """Columns whose roles a person chose: they are learned from even if they give the label away."""
    answers: Answers = NOTHING_SAID
    """Meaning of columns that can be read in two ways."""
    quick: bool = False
    """A first look: few trees and one small net of fixed size, tested once."""
    seed: int = 0
    instance: Path | None = None
    """INSTANCE_PATH, when the training data shall be remembered as the past of the files to come."""
    description: str | None = None
    ranges: Path | None = None
    """The operator's table of which addresses are of which country."""

    def as_json(self) -> str:
        """Return it as JSON, for :meth:`read`."""
        return json.dumps(asdict(self), default=str, indent=1)

    @classmethod
    def read(cls, path: Path) -> TrainingOrder:
        """Read an order.

        Raises:
            BadFile: it isn't one.
        """
        try:
            return cls._of(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as problem:
            raise BadFile(f"The order to train can't be used: {problem}.", where=str(path)) from None

    @classmethod
    def _of(cls, given: dict[str, Any]) -> TrainingOrder:
        if not NAME.fullmatch(given["name"]):
            raise ValueError(f"{given['name']!r} is no name for a detector")
        columns = given.get("columns")
        optional = {key: given[key] for key in ("label", "description") if given.get(key) is not None}
        return cls(
            file=Path(given["file"]),
            out=Path(given["out"]),
            name=given["name"],
            filename=str(given.get("filename") or Path(given["file"]).name),
            columns=None if columns is None else tuple(map(column_from, columns)),
            label_delay=float(given.get("label_delay", DELAY)),
            keep_leaks=bool(given.get("keep_leaks", False)),
            fraud_values=tuple(map(str, given.get("fraud_values") or ())),
            tokens={str(name): str(key) for name, key in (given.get("tokens") or {}).items()},
            chosen=tuple(str(column["name"]) for column in columns or () if column.get("chosen")),
            answers=Answers.of(given.get("answers") or {}),
            quick=bool(given.get("quick", False)),
            seed=int(given.get("seed", 0)),
            instance=Path(given["instance"]) if given.get("instance") else None,
            ranges=Path(given["ranges"]) if given.get("ranges") else None,
            **optional,
        )


def column_from(given: dict[str, Any]) -> Column:
    """Return a column as the JSON of an order gives it."""
    return Column(
        str(given["name"]),
        Role(given["role"]),
        CellKind(given.get("kind", CellKind.NUMBER)),
        bool(given.get("optional", False)),
        StartUnit(given["since"]) if given.get("since") else None,
        Composition.of(given["made"]) if given.get("made") else None,
    )
