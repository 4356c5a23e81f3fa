"""What the README says is true: its commands exist, its links lead somewhere, its figures are the results' own."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from flask import Flask

from screening.accounts.roles import PERMISSIONS
from screening.settings import ROOT, Settings
from screening.streams.options import StreamOptions

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "model" / "CARD.md",
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    for page in PAGES:
        named = set(re.findall(r"`make ([a-z]+)", page.read_text(encoding="utf-8")))
        assert named <= targets, f"{page.name} names {named - targets}"


def test_every_module_that_is_named_as_a_command_exists() -> None:
    for page in PAGES:
        for module in re.findall(r"python -m ([a-z_.]+)", page.read_text(encoding="utf-8")):
            if module.split(".")[0] in ("model", "screening", "benchmarks", "tests"):
                path = ROOT / module.replace(".", "/")
                assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), (
                    f"{page.name}: {module}"
                )


def test_every_flask_command_that_is_named_exists(app: Flask) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"flask --app app ([a-z]+)", text):
        assert name in app.cli.commands


def test_every_setting_is_documented() -> None:
    documented = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    for each in (*fields(Settings), *fields(StreamOptions)):
        assert f"`{each.metadata['variable'].name}`" in documented, each.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_of_text_are_short(page: Path) -> None:
    """Tables, pictures and code have lines as long as they must be (``mdformat --wrap 118 --compact-tables`` wraps)."""
    code = False
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        code ^= line.lstrip().startswith("```")
        if not code and not line.lstrip().startswith(("|", "![")):
            assert len(line) <= 120 or " " not in line.strip(), f"{page.name}:{number}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def test_the_model_figures_are_those_of_the_comparison() -> None:
    found = json.loads((ROOT / "benchmarks" / "results" / "card_models.json").read_text())
    text = (ROOT / "docs" / "figures.md").read_text(encoding="utf-8").replace("*", "")
    for name, row in found["mean_of_windows"]["models"].items():
        shown = [f"{row[key]:.3f}" for key in ("average_precision", "auc", "recall_at_0_1_percent_fpr")]
        line = next(line for line in text.splitlines() if line.startswith((f"| {name} |", f"| a {name} |")))
        assert [cell.strip() for cell in line.split("|")[2:5]] == shown


def recorded_events() -> set[str]:
    """The names of the events that the app writes to the audit log."""
    found = set()
    for path in (ROOT / "screening").rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and call.args and ast.unparse(call.func).endswith("record"):
                found |= {
                    part.value
                    for part in ast.walk(call.args[0])
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                }
    return {name for name in found if re.fullmatch(r"[a-z]+(_[a-z]+)*", name)}


def test_every_event_of_the_audit_log_is_documented() -> None:
    events = recorded_events()
    assert {"login", "history_released", "detector_approved"} <= events
    told = (ROOT / "docs" / "security.md").read_text("utf-8")
    assert sorted(name for name in events if f"`{name}`" not in told) == []


def test_the_table_of_roles_says_what_each_may() -> None:
    text = (ROOT / "docs" / "security.md").read_text("utf-8").split("## Roles\n\n")[1].split("\n\n")[0]
    head, _, *lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    roles = head[2:]
    said = {
        role: {line[1].strip("`") for line in lines if line[2 + at] == "yes"} for at, role in enumerate(roles)
    }
    assert said == {role: set(permissions) for role, permissions in PERMISSIONS.items()}
