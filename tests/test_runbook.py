"""What the runbook quotes is what the app says, and every alert and refusal of a start has its line."""

from __future__ import annotations

import re

import pytest

from screening.setting_values import ALERTS
from screening.settings import ROOT

TEXT = (ROOT / "docs" / "runbook.md").read_text("utf-8")
TOLD = ("The start stops", "A stream's start stops", "Answers of 500 and more", "What the log says")


def cells(heading: str) -> list[list[str]]:
    """The rows of a section's table."""
    section = TEXT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


@pytest.fixture(scope="module")
def said() -> str:
    """All code, with strings that go on on the next line put together, and what is put into them left out."""
    found = "\n".join(path.read_text("utf-8") for path in (ROOT / "screening").rglob("*.py"))
    found = re.sub(r'"\s*\n\s*f?"', "", found + (ROOT / "app.py").read_text("utf-8"))
    return re.sub(r"\{[^{}\n]*\}|%s|%d|%r", "…", found)


@pytest.mark.parametrize("heading", TOLD)
def test_what_is_quoted_is_said(said: str, heading: str) -> None:
    quoted = [re.fullmatch(r"`(.*)`", row[0]) for row in cells(heading)]
    assert all(quoted)
    assert [each[1] for each in quoted if each and each[1] not in said] == []


def test_every_alert_has_its_line() -> None:
    assert sorted(row[0].strip("`") for row in cells("Alerts")) == sorted(ALERTS)


def test_every_refusal_of_a_start_by_instance_or_ledger_has_its_line() -> None:
    quoted = [row[0].strip("`") for row in cells("The start stops")]
    for name in ("uploads/instance_check.py", "ledger/ledger.py"):
        code = (ROOT / "screening" / name).read_text("utf-8")
        for raised in re.findall(r"raise (?:NotReady|BadSetting)\(\s*f?\"([^\"]*)\"", code):
            assert any(each in raised for each in quoted), raised
