"""An order survives the way through its file, and a damaged one is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.data.order import TrainingOrder
from screening.errors import BadFile
from screening.transactions.schema import CellKind, Column, Role

ORDER = TrainingOrder(
    file=Path("a.csv"),
    out=Path("detectors/shop"),
    name="shop",
    filename="orders of may.csv",
    label="fraud",
    columns=(
        Column("when", Role.TIME, CellKind.TIME),
        Column("device", Role.ENTITY, CellKind.TEXT, optional=True),
    ),
    label_delay=3600.0,
    keep_leaks=True,
    seed=3,
    instance=Path("instance"),
)


def test_an_order_comes_back_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text(ORDER.as_json(), encoding="utf-8")
    assert TrainingOrder.read(tmp_path / "order.json") == ORDER


def test_what_is_not_given_has_the_usual_value(tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text('{"file": "x/a.csv", "out": "o", "name": "shop"}')
    order = TrainingOrder.read(tmp_path / "order.json")
    assert (order.filename, order.label, order.columns, order.label_delay) == ("a.csv", None, None, 604_800.0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"file": "a", "out": "o"}',
        '{"file": "a", "out": "o", "name": "../x"}',
        '{"file": "a", "out": "o", "name": "x", "columns": [{"name": "c", "role": "king"}]}',
    ],
)
def test_a_damaged_order_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "order.json").write_text(text)
    with pytest.raises(BadFile, match="can't be used"):
        TrainingOrder.read(tmp_path / "order.json")
