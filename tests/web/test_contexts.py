"""What templates are given, and that they ask for nothing that isn't there."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from screening.accounts.roles import PERMISSIONS
from screening.settings import ROOT
from screening.web.views.contexts import RowsView, RowView, TrialView, turns
from tests.conftest import Person

TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


def listing(**changes: object) -> RowsView:
    given: dict[str, object] = {
        "rows": [RowView(row=51, probability=0.1, flagged=False)], "page": 2, "pages": 2, "total": 51, "first": 51,
    }  # fmt: skip
    return RowsView(**{**given, **changes})  # type: ignore[arg-type]


def test_a_row_that_was_set_aside_is_neither_flagged_nor_legitimate() -> None:
    verdicts = [
        RowView(row=1, probability=probability, flagged=flagged).verdict
        for probability, flagged in ((None, False), (0.9, True), (0.1, False))
    ]
    assert verdicts == ["set-aside", "flagged", "legitimate"]


def test_a_label_says_where_the_flag_was_wrong() -> None:
    texts = [
        RowView(row=1, probability=0.5, flagged=flagged, label=label).label_text
        for flagged, label in ((True, 1), (False, 1), (True, 0), (False, 0), (True, None))
    ]
    assert texts == ["fraud", "fraud, missed", "legitimate, false alarm", "legitimate", "–"]


def test_a_heading_turns_the_order_round_and_goes_back_to_the_first_page() -> None:
    shown = listing(sort="amount", order="desc", filters={"flagged": "1", "min_amount": ""})
    assert shown.sorted_by("amount") == {
        "view": "rows",
        "sort": "amount",
        "order": "asc",
        "page": 1,
        "flagged": "1",
    }
    assert shown.sorted_by("probability")["order"] == "desc", "the most suspect first"
    assert shown.sorted_by("time")["order"] == "asc"
    assert [shown.aria_sort(name) for name in ("amount", "row")] == ["descending", "none"]


def test_a_pager_goes_nowhere_from_its_ends() -> None:
    assert dict(turns(1, 1)) == {"First": None, "Previous": None, "Next": None, "Last": None}
    assert dict(turns(2, 4)) == {"First": 1, "Previous": 1, "Next": 3, "Last": 4}
    assert listing().last == 51
    assert listing(rows=[], first=0).last == 0


def test_a_trial_of_no_rows_has_no_share() -> None:
    assert TrialView(value=0.5, flagged=0, rows=0).share == 0


@pytest.mark.security(35)
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_holds_inline_script_style_or_handlers_or_an_address_elsewhere(template: object) -> None:
    text = template.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|hx-on|hx-vals='js|\|\s*safe", text)
    assert not re.search(r"<script(?![^>]*(?:\ssrc=|type=\"application/json\"))", text)
    assert not re.search(r"(?:src|href|action)=\"(?:https?:)?//", text)


@pytest.mark.security(11)
@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_form_that_changes_something_carries_its_token(template: object) -> None:
    text = template.read_text(encoding="utf-8")  # type: ignore[attr-defined]
    for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", text, re.DOTALL):
        assert "csrf()" in form


def test_links_of_the_navigation_lead_to_pages_that_are_there_and_allowed(
    app: Flask, analyst: Person
) -> None:
    text = analyst.client.get("/upload").get_data(as_text=True)
    rail = text.split('aria-label="Main"', 1)[1].split("</nav>", 1)[0]
    tabs = text.split('aria-label="Screenings"', 1)[1].split("</nav>", 1)[0]
    palette = text.split('class="palette"', 1)[1].split("</dialog>", 1)[0]
    links = {*re.findall(r'href="([^"]+)"', rail + tabs + palette)}
    assert {"/", "/results", "/upload", "/detectors"} <= links
    assert "/admin/users" not in links, "an analyst manages no accounts"
    assert {analyst.client.get(link).status_code for link in links} == {200}
    assert re.search(r'href="/results" title="Screenings" aria-current="true"', rail)
    assert 'href="/upload" aria-current="page"' in tabs


@pytest.mark.parametrize("role", PERMISSIONS)
def test_no_role_is_shown_a_page_that_it_may_not_open(login: Callable[[str], Person], role: str) -> None:
    person = login({"admin": "ada", "analyst": "ana", "manager": "mia", "auditor": "otto"}[role])
    text = person.client.get("/").get_data(as_text=True)
    links = {link for link in re.findall(r'href="(/[^"#]*)"', text) if not link.startswith("/static")}
    assert {link: person.client.get(link).status_code for link in links} == dict.fromkeys(links, 200)


@pytest.mark.security(25)
@pytest.mark.usefixtures("worker")
def test_a_name_that_holds_markup_is_only_text(analyst: Person, sample: bytes) -> None:
    answer = analyst.upload(sample, filename="<script>alert(1)<b>.csv")
    for page in (answer.headers["Location"], "/results"):
        text = analyst.client.get(page).get_data(as_text=True)
        assert "&lt;script&gt;alert(1)" in text
        assert "<script>alert" not in text
