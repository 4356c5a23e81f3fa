"""A file that is checked before it is scored, as a clerk sees it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from screening.settings import ROOT
from tests.browser.conftest import PHONE, WHY_NOT, Watched, check, keep

expect = pytest.importorskip("playwright.sync_api", reason=WHY_NOT).expect

SAMPLE = ROOT / "transactions_data.csv"


def troubled(folder: Path) -> Path:
    """The sample with a bad cell, rows twice, amounts of another kind and a column that knows the label."""
    header, *rows = list(csv.reader(SAMPLE.open(encoding="utf-8")))
    amount, label = header.index("Amount"), header.index("Class")
    for row in rows:
        row[amount] = str(float(row[amount]) * 1000 + 50_000.5)
        row.append("stolen" if row[label] == "1" else "")
    rows += [rows[3], rows[7]]
    rows[4] = [*rows[4]]
    rows[4][header.index("V7")] = "oops"
    file = folder / "troubled.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(
            [[*header, "chargeback_reason_of_the_department_of_investigations"], *rows]
        )
    return file


def test_a_clerk_checks_a_file_decides_about_its_bad_row_and_has_it_screened(
    clerk: Watched, tmp_path: Path
) -> None:
    check(clerk, troubled(tmp_path))
    page = clerk.page
    expect(page.locator("h1")).to_contain_text("checked, not scored")
    for section, words in (
        ("#rejected", "Needs your decision"),
        ("#duplicates", "Row 201 repeats row 4"),
        ("#drift", "differ"),
        ("#labels", "alone tells fraud"),
    ):
        expect(page.locator(section)).to_contain_text(words)
    keep(clerk, "check-troubled")
    with page.expect_download() as download:
        page.get_by_role("link", name="This row with what is wrong").click()
    assert "V7 is not a number" in Path(download.value.path()).read_text(encoding="utf-8")
    page.get_by_role("button", name="Screen this file").click()
    page.wait_for_selector("#error")
    page.get_by_label("Set the 1 bad row aside").check()
    page.get_by_role("button", name="Screen this file").click()
    page.wait_for_selector("#flagged-title")
    expect(page.locator(".facts-line")).to_contain_text("Unreadable rows1 which and why")


def test_a_check_waits_in_the_list_until_it_is_discarded(clerk: Watched) -> None:
    check(clerk, SAMPLE)
    page = clerk.page
    page.set_viewport_size(PHONE)
    expect(page.get_by_text("No duplicates.")).to_be_visible()
    clerk.open("/results")
    waiting = page.get_by_role("link", name="checked, not scored")
    waiting.first.wait_for()
    before = waiting.count()
    waiting.first.click()
    page.wait_for_url("**/check")
    page.get_by_role("button", name="Discard").click()
    page.wait_for_url("**/results")
    expect(waiting).to_have_count(before - 1)


def test_the_button_says_what_it_will_do(clerk: Watched) -> None:
    clerk.open("/upload")
    send = clerk.page.locator("#send")
    expect(send).to_have_text("Screen this file")
    clerk.page.get_by_text("More options").click()
    clerk.page.get_by_label("Check it first").check()
    expect(send).to_have_text("Check this file")
    clerk.page.get_by_label("Check it first").uncheck()
    expect(send).to_have_text("Screen this file")
