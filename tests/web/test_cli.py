from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from click.testing import Result
from flask import Flask

from screening.ledger.tables import API
from screening.settings import ROOT
from screening.web.services import Services
from tests.screening.ledger.ledger_rows import table


def run(app: Flask, *words: str) -> Result:
    return app.test_cli_runner().invoke(args=list(words))


def test_a_file_is_screened_as_the_page_would(app: Flask, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    result = run(app, "screen", str(ROOT / "transactions_data.csv"), "-o", str(out))
    scores = pd.read_csv(out)

    assert result.exit_code == 0, result.output
    assert len(scores) == 200
    assert f"{scores['flagged'].sum()} flagged" in result.output
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("name", ["nowhere/scores.csv", "file/scores.csv"])
def test_scores_that_cannot_be_written_are_one_line(app: Flask, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    result = run(app, "screen", str(ROOT / "transactions_data.csv"), "-o", str(tmp_path / name))
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith(f"Error: {tmp_path / name} can't be written: ")


def test_the_scores_never_replace_the_file_itself(app: Flask, tmp_path: Path) -> None:
    file = tmp_path / "payments.csv"
    file.write_bytes((ROOT / "transactions_data.csv").read_bytes())
    result = run(app, "screen", str(file), "-o", str(tmp_path / "." / "payments.csv"))
    assert result.exit_code == 2
    assert "would replace" in result.output
    assert file.read_bytes() == (ROOT / "transactions_data.csv").read_bytes()


def test_a_broken_file_says_where_and_writes_nothing(app: Flask, tmp_path: Path) -> None:
    lines = (ROOT / "transactions_data.csv").read_text().splitlines()
    lines[3] = "x" + lines[3]
    broken = tmp_path / "broken.csv"
    broken.write_text("\n".join(lines))
    out = tmp_path / "scores.csv"
    result = run(app, "screen", str(broken), "-o", str(out))

    assert result.exit_code == 1
    assert "row 3" in result.output
    assert "Time" in result.output
    assert not out.exists()
    assert list(app.extensions["screening"].settings.instance.glob("tmp*")) == []


def test_bad_rows_can_be_set_aside(app: Flask, tmp_path: Path) -> None:
    lines = (ROOT / "transactions_data.csv").read_text().splitlines()
    lines[3] = "x" + lines[3]
    broken = tmp_path / "broken.csv"
    broken.write_text("\n".join(lines))
    result = run(app, "screen", str(broken), "--set-aside")
    assert result.exit_code == 0
    assert "1 set aside" in result.output


def test_detectors_are_listed_and_shown(app: Flask) -> None:
    assert run(app, "detectors", "list").output.startswith("card\tapproved\t30 columns\t")
    shown = json.loads(run(app, "detectors", "show", "card").output)
    assert shown["contract"]["columns"][0] == "Time"
    assert run(app, "detectors", "show", "nobody").exit_code == 1


@pytest.mark.parametrize(
    "words", [("--help",), ("users", "--help"), ("screen", "--help"), ("detectors", "--help")]
)
def test_every_command_explains_itself(app: Flask, words: tuple[str, ...]) -> None:
    assert run(app, *words).exit_code == 0


def test_the_ledger_is_put_together_and_compared_with_its_manifest(app: Flask, services: Services) -> None:
    for number in range(3):
        made = table(3, screening=None, source=API)
        services.ledger.segments.add(f"api-{number}", API, made)
    said = app.test_cli_runner().invoke(args=["ledger", "compact"])
    assert (said.exit_code, said.output) == (0, "3 segments before, 1 now\n")
    said = app.test_cli_runner().invoke(args=["ledger", "verify"])
    assert (said.exit_code, said.output) == (0, "1 segment, 9 transactions, 3 flagged; 0 faults\n")
    (kept,) = services.ledger.segments.all()
    with services.ledger.segments.path(kept.name).open("r+b") as file:
        file.seek(100)
        file.write(b"!")
    said = app.test_cli_runner().invoke(args=["ledger", "verify"])
    assert said.exit_code == 1
    assert "isn't what was written" in said.stderr
