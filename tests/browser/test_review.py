"""The queue with nothing but the keyboard, and without script."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator
from typing import Any

import pytest

from screening.settings import ROOT
from tests.browser.conftest import PASSWORD, WHY_NOT, Site, Watched, keep, log_in, new_page, send, sign_up
from tests.browser.next_case import TOOK, WATCH

expect = pytest.importorskip("playwright.sync_api", reason=WHY_NOT).expect

CASES = 12
FILE = ROOT / "model" / "detectors" / "ecommerce" / "sample.csv"


@pytest.fixture
def analyst(chromium: Any, site: Site, state: Any) -> Iterator[Watched]:
    """Somebody with a queue of their own, logged out again."""
    del state  # the first account of all is the administrator's
    watched = new_page(chromium, site)
    if "rita.reviews" not in (site.folder / "users.txt").read_text():
        sign_up(watched, "rita.reviews")
        send(watched, FILE)
        for _ in range(60):
            watched.open("/review")
            if watched.page.locator("#cases .row-link").count() >= CASES:
                break
            watched.page.wait_for_timeout(500)
        watched.page.locator("details.user summary").click()
        watched.page.get_by_role("button", name="Log out").click()
    yield watched
    watched.check()
    watched.page.context.close()


def number(page: Any) -> int:
    address = page.evaluate(
        "location.pathname"
    )  # of the document itself: Playwright hears of a pushState later
    found = re.search(r"/review/(\d+)", address)
    assert found, address
    return int(found[1])


FOCUS = "document.activeElement"


def tab_to(page: Any, what: str, wanted: str) -> None:
    for _ in range(40):
        if page.evaluate(what).strip() == wanted:
            return
        page.keyboard.press("Tab")
    pytest.fail(f"{wanted} can't be reached")


def decide(page: Any, keys: str) -> tuple[list[int], list[float]]:
    """Decide on one case after the other; return their numbers, and the milliseconds to each next one."""
    seen: list[int] = []
    waits: list[float] = []
    for key in keys:
        seen.append(number(page))
        page.evaluate(WATCH)
        page.keyboard.press(key)
        page.locator(f"#undo a[href='/review/{seen[-1]}']").wait_for()
        waits.append(page.evaluate(TOOK))
    return seen, waits


def test_from_log_in_to_ten_decided_cases_with_the_keyboard_alone(analyst: Watched) -> None:
    page = analyst.page
    analyst.open("/login")
    tab_to(page, f"{FOCUS}.id", "username")
    page.keyboard.type("rita.reviews")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Home").wait_for()
    tab_to(page, f"{FOCUS}.textContent", "Review")
    page.keyboard.press("Enter")
    page.wait_for_url("**/review")
    page.locator("#cases tr.at").wait_for()
    page.keyboard.press("t")
    page.wait_for_url(re.compile(r"/review/\d+$"))
    keep(analyst, "review-case")
    page.keyboard.press("n")
    page.keyboard.type("told by the bank")
    page.keyboard.press("Escape")
    seen, waits = decide(page, "flufllfulf")
    assert len(set(seen)) == 10
    assert statistics.median(waits) < 1000, (
        "far more than it takes, on any machine; benchmarks/review.py measures"
    )
    here = number(page)
    page.keyboard.press("z")
    page.wait_for_url(f"**/review/{seen[-1]}")
    page.keyboard.press("s")
    page.wait_for_url(f"**/review/{here}")
    page.get_by_role("heading", name="Similar cases").wait_for()
    analyst.open("/review?state=decided&sort=latest")
    shown = page.locator("#cases .row-link").all_inner_texts()
    assert {int(each) for each in shown} == set(seen[:-1])
    analyst.open(f"/review/{seen[0]}")
    expect(page.get_by_text("told by the bank")).to_be_visible()


def test_the_list_is_worked_on_with_keys(analyst: Watched) -> None:
    page = analyst.page
    log_in(analyst, "rita.reviews")
    analyst.open("/review")
    page.locator("#cases tr.at").wait_for()
    first = page.evaluate(f"{FOCUS}.textContent")
    page.keyboard.press("j")
    analyst.becomes(lambda: page.evaluate(f"{FOCUS}.textContent") != first)
    page.keyboard.press("k")
    analyst.becomes(lambda: page.evaluate(f"{FOCUS}.textContent"), first)
    chosen = page.locator("#cases input[name=case]:checked")
    page.keyboard.press("x")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(chosen).to_have_count(2)
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.keyboard.press("l")
    page.get_by_text("2 decided: Legitimate").wait_for()
    expect(page.locator(f"#cases a[href='/review/{first}']")).to_have_count(0)
    page.keyboard.press("z")
    page.get_by_text("2 decisions were taken back").wait_for()
    page.locator(f"#cases a[href='/review/{first}']").wait_for()
    page.keyboard.press("e")
    page.get_by_text("1 escalated").wait_for()
    page.keyboard.press("c")
    page.wait_for_url("**state=all**")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/review/\d+$"))
    page.keyboard.press("/")
    analyst.becomes(lambda: page.evaluate(f"{FOCUS}.id"), "search")


def test_the_queue_works_without_script(chromium: Any, site: Site, analyst: Watched) -> None:
    plain = new_page(chromium, site, java_script_enabled=False)
    page = plain.page
    plain.open("/login")
    page.fill("#username", "rita.reviews")
    page.fill("#password", PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Review").click()
    page.get_by_role("button", name="Take next case").click()
    page.wait_for_url(re.compile(r"/review/\d+$"))
    first = number(page)
    page.get_by_role("link", name="Show the timeline").click()
    page.get_by_role("heading", name="All columns").wait_for()
    page.get_by_role("button", name="Legitimate").click()
    page.get_by_role("button", name="Undo").click()
    expect(page).to_have_url(re.compile(rf"/review/{first}\b"))
    page.get_by_label("Type, if fraud").fill("stolen card")
    page.get_by_role("button", name="Fraud").click()
    expect(page).not_to_have_url(re.compile(rf"/review/{first}\b"))
    page.get_by_role("link", name="Review").first.click()
    page.get_by_label("Choose case").first.check()
    page.get_by_label("Choose case").nth(1).check()
    page.get_by_role("button", name="Unsure").click()
    page.get_by_text("2 decided: Unsure").wait_for()
    plain.page.context.close()
