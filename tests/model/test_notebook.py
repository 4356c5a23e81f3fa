"""The notebook runs from top to bottom, imports the modules, repeats none of their code, and is readable as it lies."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from model.data.simulation import orders
from model.notebook import NOTEBOOK, run
from screening.settings import ROOT


@pytest.fixture(scope="module")
def cells() -> list[Any]:
    nbformat = pytest.importorskip("nbformat", reason="needs requirements/train.txt: run `make .venv/.train`")
    cells: list[Any] = nbformat.read(NOTEBOOK, as_version=4).cells
    return cells


@pytest.mark.timeout(600)
def test_it_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a class runs it: on a file of its own, with the small net."""
    pytest.importorskip("nbclient", reason="needs requirements/train.txt: run `make .venv/.train`")
    orders(rows=900, seed=7).to_csv(tmp_path / "orders.csv", index=False)
    monkeypatch.setenv("FRAUD_FILE", str(tmp_path / "orders.csv"))
    monkeypatch.setenv("FRAUD_QUICK", "1")
    done = run(target=tmp_path / "done.ipynb")
    code = [cell for cell in done.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    said = "".join(output.get("text", "") for output in code[-1].outputs)
    assert "the most suspect has probability" in said


def test_it_can_be_read_without_running_it(cells: list[Any]) -> None:
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    shown = [output for cell in code for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 6
    assert not [output for output in shown if output.output_type == "error"]
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert str(ROOT) not in text
    assert not re.search(r"/(tmp|home|root|work)/", text)


def test_it_calls_the_modules_and_defines_next_to_nothing(cells: list[Any]) -> None:
    source = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    for module in (
        "simulation",
        "data_quality",
        "compare",
        "baselines",
        "cost",
        "metrics",
        "trainer",
        "plots",
    ):
        assert f"{module}." in source
    assert len(re.findall(r"^\s*def ", source, re.MULTILINE)) <= 1
    assert "import sklearn" not in source
    assert "xgboost" not in source
