"""The main way in a browser that runs no script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from screening.settings import ROOT
from tests.browser.conftest import WHY_NOT, Site, Watched, new_page, sign_up

expect = pytest.importorskip("playwright.sync_api", reason=WHY_NOT).expect

SAMPLE = ROOT / "transactions_data.csv"


@pytest.fixture(scope="module")
def plain(chromium: Any, site: Site) -> Iterator[Watched]:
    watched = new_page(chromium, site, java_script_enabled=False)
    sign_up(watched, "plain.clerk")
    yield watched
    assert watched.faults == []
    watched.page.context.close()


def test_a_file_is_sent_and_its_flagged_rows_are_shown(plain: Watched) -> None:
    plain.open("/upload")
    plain.page.set_input_files("#file", SAMPLE)
    plain.page.click("#send")
    plain.page.wait_for_selector("#flagged-title")
    plain.page.locator("#rows .row-link").first.click()
    expect(plain.page.locator(".reason-bars li")).to_have_count(3)


def test_a_file_that_is_none_is_explained(plain: Watched) -> None:
    plain.open("/upload")
    cat = {"name": "cat.csv", "mimeType": "text/csv", "buffer": b"\x89PNG\r\n\x1a\n" * 40}
    plain.page.set_input_files("#file", cat)
    plain.page.click("#send")
    expect(plain.page.locator("#error")).not_to_be_empty()
    expect(plain.page.locator("#upload")).to_be_visible()


def test_rows_are_sorted_filtered_and_another_threshold_tried_by_links_and_forms(plain: Watched) -> None:
    plain.open("/upload")
    plain.page.set_input_files("#file", SAMPLE)
    plain.page.click("#send")
    page = plain.page
    page.wait_for_selector("#flagged-title")
    page.wait_for_load_state()
    flagged = page.locator("#rows tbody tr").count()
    page.get_by_role("link", name="All rows").click()
    expect(page.locator("#only-flagged")).to_be_visible()
    page.click("#sort-probability")
    expect(page.locator("#rows th[aria-sort=descending] #sort-probability")).to_have_count(1)
    page.check("#only-flagged")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator("#rows tbody tr")).to_have_count(flagged)
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("#trial-value")).to_be_visible()
    expect(page.locator("#trial-range")).to_be_hidden()  # a slider that does nothing isn't shown
    page.fill("#trial-value", "0.05")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#trial-answer dt").first).to_contain_text("0.05")


def test_dark_follows_the_system(chromium: Any, site: Site) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        watched = new_page(chromium, site, java_script_enabled=False, color_scheme=scheme)
        watched.open("/")
        watched.page.screenshot()
        grounds.add(watched.page.locator("body").evaluate("(one) => getComputedStyle(one).backgroundColor"))
        watched.page.context.close()
    assert len(grounds) == 2
