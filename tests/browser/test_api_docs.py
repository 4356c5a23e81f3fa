"""The page of the API: Swagger UI under the policy of all pages, in both themes, on a phone, with the keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest

from tests.browser.conftest import DESK, PHONE, WHY_NOT, Site, Watched, keep, new_page
from tests.browser.looks import CONTRAST, NAMED, WIDE

expect = pytest.importorskip("playwright.sync_api", reason=WHY_NOT).expect

FIRST = "#operations-Transactions-detectFraud"


def unfolded(clerk: Watched) -> Any:
    """The page with its first operation open."""
    clerk.open("/docs")
    clerk.page.wait_for_selector(f"{FIRST} .opblock-summary-control")
    clerk.page.focus(f"{FIRST} .opblock-summary-control")
    clerk.page.keyboard.press("Enter")
    clerk.page.wait_for_selector(f"{FIRST} .responses-table")
    return clerk.page


@pytest.fixture(scope="module")
def opened(chromium: Any, site: Site, state: Any) -> Iterator[Callable[[str], Watched]]:
    """The page by the system's colour scheme, each loaded once: Swagger UI takes chromium seven seconds to build.

    A test leaves it as it was.
    """
    with ExitStack() as pages:

        @cache
        def visit(theme: str) -> Watched:
            watched = new_page(
                chromium, site, storage_state=state, color_scheme=theme, reduced_motion="reduce"
            )
            pages.callback(watched.page.context.close)
            unfolded(watched)
            return watched

        yield visit


@pytest.mark.security(35)
def test_an_operation_is_tried_out_as_the_account_that_is_logged_in(clerk: Watched) -> None:
    page = unfolded(clerk)
    page.click(f"{FIRST} .try-out__btn")
    page.click(f"{FIRST} .execute")
    page.wait_for_selector(f"{FIRST} .live-responses-table .response")
    told = page.locator(f"{FIRST} .live-responses-table")
    expect(told).to_contain_text("fraud_probability")
    expect(told).to_contain_text("200")
    clerk.check()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_legible_and_whatever_can_be_used_has_a_name(
    opened: Callable[[str], Watched], theme: str
) -> None:
    watched = opened(theme)
    page = watched.page
    expect(page.locator("html")).to_have_attribute("data-bs-theme", theme)
    expect(page.locator("html.dark-mode")).to_have_count(1 if theme == "dark" else 0)
    watched.becomes(lambda: page.evaluate(CONTRAST), [])
    unnamed = page.evaluate(
        NAMED
    )  # but for a title or a placeholder, which name a thing where nothing else does
    assert [one for one in unnamed if not re.search(r'^<[^>]*(?:title|placeholder)="[^"]', one)] == []
    keep(watched, f"docs-{theme}")
    watched.check()


def test_it_fits_a_phone(opened: Callable[[str], Watched]) -> None:
    watched = opened("light")
    watched.page.set_viewport_size(PHONE)
    watched.becomes(lambda: watched.page.evaluate(WIDE) <= 0)
    keep(watched, "docs-phone")
    watched.page.set_viewport_size(DESK)
    watched.check()


def test_a_change_of_theme_is_followed(opened: Callable[[str], Watched]) -> None:
    watched = opened("dark")
    page = watched.page
    page.click("details.user summary")
    for theme, marks in (("Light", 0), ("Dark", 1)):
        page.get_by_role("button", name=theme).click()
        expect(page.locator("html.dark-mode")).to_have_count(marks)
    watched.check()


def test_without_script_it_lists_the_routes(clerk: Watched, chromium: Any) -> None:
    state = clerk.page.context.storage_state()
    context = chromium.new_context(java_script_enabled=False, storage_state=state)
    page = context.new_page()
    page.goto(clerk.site.url + "/docs")
    listed = page.locator("noscript dt")  # by text nothing is found in there
    expect(listed.first).to_have_text("POST /detect_fraud")
    expect(listed.first).to_be_visible()
    assert listed.count() > 20
    context.close()
