"""Generated payments in small: few cards, shops and devices, so that windows overlap, tie and repeat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from screening.features import Definition, Options, define
from screening.transactions.schema import CellKind, Column, ColumnContract, Role

HOUR, DAY = 3600.0, 86_400.0
EPOCH = 1_500_000_000.0
OPTIONS = Options(windows=(HOUR, DAY, 3 * DAY), label_delay=DAY, memory=5 * DAY, levels=3, known=5, least=2)

COLUMNS = (
    Column("when", Role.TIME, CellKind.TIME),
    Column("card", Role.ENTITY, CellKind.TEXT),
    Column("shop", Role.ENTITY, CellKind.TEXT, optional=True),
    Column("amount", Role.AMOUNT, optional=True),
    Column("joined", Role.MOMENT, CellKind.TIME, optional=True),
    Column("browser", Role.CATEGORY, CellKind.TEXT, optional=True),
    Column("age", Role.NUMBER, optional=True),
    Column("fraud", Role.LABEL),
)
DEVICE = Column("device", Role.ENTITY, CellKind.TEXT, optional=True)


@dataclass(frozen=True)
class Table:
    """Rows of a contract: ``values`` (n, columns), ``labels`` (n,) from -1 to 1."""

    contract: ColumnContract
    values: np.ndarray
    labels: np.ndarray

    def definition(self, options: Options = OPTIONS) -> Definition:
        return define(self.contract, self.values, options)

    def take(self, rows: np.ndarray | slice | list[int]) -> Table:
        return Table(self.contract, self.values[rows], self.labels[rows])

    def column(self, name: str) -> np.ndarray:
        return self.values[:, self.contract.columns.index(name)]


def payments(
    rows: int, seed: int = 0, columns: Sequence[Column] = COLUMNS, days: float = 12.0, blanks: float = 0.1
) -> Table:
    """Random payments; every third time is one that is there already, and each optional cell may be blank."""
    rng = np.random.default_rng(seed)
    contract = ColumnContract.of(columns)
    time = EPOCH + np.round(rng.uniform(0, days * DAY, rows), 3)
    again = rng.random(rows) < 1 / 3
    time[again] = time[rng.integers(0, rows, again.sum())]
    snapped = rng.random(rows) < 0.3  # so that windows end on rows
    time[snapped] = np.round(time[snapped] / HOUR) * HOUR
    cells = {
        "when": time,
        "card": rng.integers(0, max(rows // 8, 2), rows),
        "shop": rng.integers(0, max(rows // 10, 2), rows),
        "device": rng.integers(0, max(rows // 5, 2), rows),
        "amount": np.round(rng.lognormal(3, 1, rows) * np.where(rng.random(rows) < 0.1, -1, 1), 2),
        "joined": time - np.round(rng.exponential(DAY, rows)) + HOUR,
        "browser": rng.integers(0, 7, rows),
        "age": rng.normal(40, 10, rows),
    }
    values = np.column_stack([np.asarray(cells[name], float) for name in contract.columns])
    for place, column in enumerate(contract.parts()):
        if column.optional:
            values[rng.random(rows) < blanks, place] = np.nan
    labels = rng.choice(np.array([-1, 0, 1], np.int8), rows, p=[0.3, 0.5, 0.2])
    return Table(contract, values, labels)


@st.composite
def tables(draw: st.DrawFn, most: int = 30) -> Table:
    """Payments with 2 or 3 entities, from none to ``most`` rows."""
    columns = (*COLUMNS, DEVICE) if draw(st.booleans()) else COLUMNS
    return payments(
        draw(st.integers(1, most)),
        draw(st.integers(0, 2**32 - 1)),
        columns,
        draw(st.sampled_from([0.1, 2.0, 12.0])),
        draw(st.sampled_from([0.0, 0.3])),
    )
