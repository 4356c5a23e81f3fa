"""The page of the API: Swagger UI under the policy of all pages, in both themes, on a phone, with the keyboard."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.browser.conftest import PHONE, Watched, keep
from tests.browser.looks import CONTRAST, NAMED, WIDE

FIRST = "#operations-Transactions-detectFraud"


def unfolded(clerk: Watched) -> Any:
    """The page with its first operation open."""
    clerk.open("/docs")
    clerk.page.wait_for_selector(f"{FIRST} .opblock-summary-control")
    clerk.page.focus(f"{FIRST} .opblock-summary-control")
    clerk.page.keyboard.press("Enter")
    clerk.page.wait_for_selector(f"{FIRST} .responses-table")
    return clerk.page


@pytest.mark.security(35)
def test_an_operation_is_tried_out_as_the_account_that_is_logged_in(clerk: Watched) -> None:
    page = unfolded(clerk)
    page.click(f"{FIRST} .try-out__btn")
    page.click(f"{FIRST} .execute")
    page.wait_for_selector(f"{FIRST} .live-responses-table .response")
    told = page.inner_text(f"{FIRST} .live-responses-table")
    assert "fraud_probability" in told
    assert "200" in told
    clerk.check()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_legible_and_whatever_can_be_used_has_a_name(clerk: Watched, theme: str) -> None:
    clerk.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page = unfolded(clerk)
    assert page.evaluate(CONTRAST) == []
    unnamed = page.evaluate(
        NAMED
    )  # but for a title or a placeholder, which name a thing where nothing else does
    assert [one for one in unnamed if not re.search(r'^<[^>]*(?:title|placeholder)="[^"]', one)] == []
    keep(clerk, f"docs-{theme}")


def test_it_fits_a_phone(clerk: Watched) -> None:
    clerk.page.set_viewport_size(PHONE)
    page = unfolded(clerk)
    assert page.evaluate(WIDE) <= 0
    keep(clerk, "docs-phone")


def test_a_change_of_theme_is_followed(clerk: Watched) -> None:
    page = unfolded(clerk)
    page.get_by_role("button", name="Dark").click()
    assert page.locator("html.dark-mode").count() == 1
    page.get_by_role("button", name="Light").click()
    assert page.locator("html.dark-mode").count() == 0


def test_without_script_it_lists_the_routes(clerk: Watched, chromium: Any) -> None:
    state = clerk.page.context.storage_state()
    context = chromium.new_context(java_script_enabled=False, storage_state=state)
    page = context.new_page()
    page.goto(clerk.site.url + "/docs")
    listed = page.locator("noscript dt")  # by text nothing is found in there
    assert listed.first.inner_text() == "POST /detect_fraud"
    assert listed.first.is_visible()
    assert listed.count() > 20
    context.close()
