"""The ledger of an instance: its tables, its segments, and whoever asks them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from screening.infra.database import Database
from screening.ledger.engine import Engine
from screening.ledger.labels import Labels
from screening.ledger.questions import Questions
from screening.ledger.segments import Segments
from screening.ledger.tables import open_tables
from screening.ledger.tail import Tail


@dataclass(frozen=True, slots=True)
class Ledger:
    """One for each process."""

    tables: Database
    segments: Segments
    tail: Tail
    labels: Labels
    questions: Questions

    @classmethod
    def open(cls, instance: Path, database_url: str, durability: str = "full") -> Self:
        """Open the ledger, which is made where there is none.

        Raises:
            NotReady, BadSetting: its tables can't be used.
        """
        tables = open_tables(instance, database_url, durability)
        segments = Segments(instance, tables)
        tail = Tail(tables)
        return cls(
            tables, segments, tail, Labels(tables), Questions(segments, tail, tables, Engine(segments.folder))
        )
