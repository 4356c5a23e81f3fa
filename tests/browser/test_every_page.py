"""What holds for every page: its frame, its labels, its contrast, its width on a phone, its manners."""

from __future__ import annotations

import itertools
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from screening.settings import ROOT
from tests.browser.conftest import DESK, PHONE, WHY_NOT, Site, Watched, check, entered, new_page, send
from tests.browser.looks import LITTLE, Look, look
from tests.browser.test_preflight import troubled
from tests.browser.test_training import choose, past
from tests.web.test_reports import needs_poppler

expect = pytest.importorskip("playwright.sync_api", reason=WHY_NOT).expect

OPEN = ("/", "/signup", "/login", "/status", "/detectors", "/detectors/card", "/nowhere")
INSIDE = (
    "/upload",
    "/results",
    "RESULT",
    "ROWS",
    "OVERVIEW",
    "PERFORMANCE",
    "RECEIPT",
    "ROW",
    "/entities/customer/22",
    "/search?q=22",
    "/review",
    "/review?state=decided",
    "/review/missed",
    "/review/disagreements",
    "/review/workbook",
    "/review/threshold?detector=ecommerce",
    "CASE",
    "DECIDED",
    "PROOF",
    "DECISION",
    "/reports",
    "/reports/documents",
    "DOCUMENT",
    "/reports/scheduled",
    "/reports/documents/model-risk",
    "/explore/transactions?flagged=true",
    "/explore/flips?detector=payments&other_threshold=0.3",
    "/dashboard/",
    "CHECK",
    "/account",
    "/history",
    "/monitoring",
    "/shadow",
    "SHADOW",
    "/audit",
    "/approvals",
    "/notifications",
    "/admin/users",
    "/styleguide",
    "/admin/keys",
    "KEY",
    "/rules",
    "/rules/new",
    "RULE",
    "STATE",
    "/rules/lists",
    "LIST",
    "/detectors/payments/learn?row=1289&column=TX_AMOUNT&value=80",
    "/detectors/card/learn",
    "/detectors/payments/classroom",
    "/detectors/new",
    "/detectors/from-reviews?detector=payments",
    "COLUMNS",
    "TRAINING",
    "MAPPING",
    "QUESTIONS",
)
EVERY = (*OPEN, *INSIDE)


@pytest.fixture(scope="module")
def made(chromium: Any, site: Site, state: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the pages are that something must be made for: a result with flagged rows, a check that found something in
    every section, a training at two stages, an API key.
    """
    watched = new_page(chromium, site, storage_state=state)
    send(watched, ROOT / "transactions_data.csv")
    found = {"RESULT": watched.page.url, "ROW": f"{watched.page.url}/rows/117"}
    for view in ("rows", "overview", "performance", "receipt"):
        found[view.upper()] = f"{watched.page.url}?view={view}"
    send(watched, ROOT / "model" / "detectors" / "payments" / "sample.csv")
    entered(watched)
    found |= reviewed(watched)
    found["DOCUMENT"] = document(watched, found["RESULT"])
    check(watched, troubled(tmp_path_factory.mktemp("check")))
    found["CHECK"] = watched.page.url
    file = past(tmp_path_factory.mktemp("training"), rows=200)
    choose(watched, file, "for-looks")
    found["COLUMNS"] = watched.page.url
    choose(watched, file, "called-off")
    watched.page.get_by_role("button", name="Discard the file").click()
    choose(watched, file, "too-few")
    watched.page.get_by_label("Role of browser").select_option("label")
    watched.page.get_by_label("Role of stolen").select_option("ignore")
    watched.page.get_by_role("button", name="Train the detector").click()
    watched.page.get_by_text("Change the columns").wait_for(timeout=60_000)
    found["TRAINING"] = watched.page.url
    folder = tmp_path_factory.mktemp("asked")
    found["MAPPING"], found["QUESTIONS"] = ask(watched, statement(folder)), ask(watched, signs(folder))
    watched.open("/shadow")
    watched.page.get_by_label("Shadow detector").select_option("ecommerce")
    watched.page.get_by_label("Deciding detector").select_option("payments")
    watched.page.get_by_role("button", name="Start it").click()
    watched.page.wait_for_url(re.compile(r"/shadow/.+"))
    found["SHADOW"] = watched.page.url
    watched.open("/admin/keys")
    watched.page.get_by_label("Name").fill("for looks")
    watched.page.get_by_role("button", name="Make the key").click()
    watched.page.get_by_role("link", name="Revoke for looks").click()
    watched.page.wait_for_url("**/revoke")
    found["KEY"] = watched.page.url
    found |= ruled(watched)
    watched.page.context.close()
    return {name: url.removeprefix(site.url) for name, url in found.items()}


def ruled(watched: Watched) -> dict[str, str]:
    """Take the shipped rules, look at one and at its switch, put a device onto a list, and return where they are."""
    found = {}
    watched.open("/rules")
    watched.page.get_by_role("button", name="Add as drafts").click()
    watched.page.get_by_role("link", name="Small amount, doubtful").click()
    watched.page.get_by_role("link", name="Switch on").wait_for()
    found["RULE"] = f"{watched.page.url}?try=1"
    rule = watched.page.url
    watched.page.get_by_role("link", name="Switch on").click()
    watched.page.wait_for_url(lambda url: url != rule)
    found["STATE"] = watched.page.url
    watched.open("/rules/lists/blocked_devices")
    watched.page.get_by_label("One a line").fill("D609763")
    watched.page.get_by_role("button", name="Add", exact=True).click()
    watched.page.get_by_text("D609763").first.wait_for()
    found["LIST"] = watched.page.url
    return found


def reviewed(watched: Watched) -> dict[str, str]:
    """Look at two cases, decide on the second, and return where they are."""
    found = {}
    for name, query in (("CASE", "sort=risk"), ("DECIDED", "sort=amount&detector=payments")):
        for _ in range(60):  # the worker opens cases some seconds after the page was answered
            watched.open(f"/review?{query}")
            if watched.page.locator("#cases .row-link").count():
                break
            watched.page.wait_for_timeout(500)
        watched.page.locator("#cases .row-link").first.click()
        watched.page.get_by_role("heading", name="Similar cases").wait_for()
        found[name] = watched.page.url
    link = watched.page.locator(".case-items .row-link").first.get_attribute("href")
    found["DECISION"], found["PROOF"] = str(link), f"{link}/receipt"
    watched.page.get_by_label("Note").fill("Called her; she has the card")
    watched.page.get_by_role("button", name="Fraud").click()
    watched.page.get_by_role("button", name="Undo").wait_for()
    return found


def document(watched: Watched, result: str) -> str:
    """Have a document made of a result, and another one each day; gives the address of the first."""
    watched.page.goto(result)
    watched.page.get_by_text("Download", exact=True).click()
    watched.page.get_by_role("button", name="All rows and reasons (Excel)").click()
    watched.page.get_by_role("link", name="Download").wait_for(timeout=60_000)
    made = watched.page.url
    watched.open("/reports/scheduled")
    watched.page.get_by_role("button", name="Schedule it").click()
    return str(made)


def statement(folder: Path) -> Path:
    """A bank's statement: the time in two columns, the amount in two, under names of its own."""
    rows = [
        f"{day:02}.01.2025;07:30;{500 + day % 6};{30 + day % 5};{day * 7},5;;Payment no. {day} in the shop"
        if day % 3
        else f"{day:02}.01.2025;18:45;{500 + day % 6};{30 + day % 5};;{day},25;Salary"
        for day in range(1, 31)
    ]
    file = folder / "statement of a long month.csv"
    names = "Buchungstag;Uhrzeit;Kundennummer;Terminal of the payment in the shop;Soll;Haben;Verwendungszweck"
    file.write_text("\n".join([names, *rows, ""]), encoding="utf-8")
    return file


def signs(folder: Path) -> Path:
    """Payments whose amounts are negative, as banks write what leaves an account."""
    rows = [f"2025-01-{day:02} 07:30:44,50{day % 6},3{day % 5},-{day * 7}.5" for day in range(1, 31)]
    file = folder / "signs.csv"
    names = "TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT"
    file.write_text("\n".join([names, *rows, ""]), encoding="utf-8")
    return file


def ask(watched: Watched, file: Path) -> str:
    """Send a file of which something must be said; gives the address of the page where that is done."""
    watched.open("/upload")
    watched.page.set_input_files("#file", file)
    watched.page.click("#send")
    watched.page.locator("#error a.btn, #errors a.btn").first.click()
    watched.page.wait_for_url(re.compile("/(mapping|questions)$"))
    url: str = watched.page.url
    return url


@pytest.fixture(scope="module")
def seen(chromium: Any, site: Site, state: Any, made: dict[str, str]) -> Callable[[str], Look]:
    """What was seen of a page; each is visited for the first test that asks."""

    @cache
    def visit(path: str) -> Look:
        return look(chromium, site, state, made.get(path, path), path)

    return visit


@pytest.mark.security(35)
@pytest.mark.parametrize("path", EVERY)
def test_no_page_has_inline_script_or_style_or_breaks_the_policy(
    seen: Callable[[str], Look], path: str
) -> None:
    if (
        path != "/dashboard/"
    ):  # Plotly writes styles into what it draws: the policy allows them there, and there alone
        assert seen(path).inline == []
    assert seen(path).faults == []


@pytest.mark.security(35)
def test_the_watch_itself_sees_a_breach_and_a_stranger(chromium: Any, site: Site) -> None:
    watched = new_page(chromium, site)
    watched.open("/")
    watched.page.evaluate("document.body.setAttribute('style', 'color: red')")
    watched.page.evaluate(
        "document.body.append(Object.assign(new Image(), {src: 'http://stranger.example/x.png'}))"
    )
    watched.page.wait_for_function("window.violations.length > 1")
    with pytest.raises(AssertionError, match=r"style-src|stranger"):
        watched.check()
    watched.page.context.close()


@pytest.mark.parametrize("path", EVERY)
def test_every_page_has_its_landmarks_one_heading_of_the_first_level_and_no_level_left_out(
    seen: Callable[[str], Look], path: str
) -> None:
    found = seen(path)
    assert [role for role, count in found.roles.items() if count < 1] == []
    assert found.levels.count(1) == 1
    assert found.levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(found.levels)), found.levels
    assert found.title not in ("", "Fraud Screening")
    assert found.language == "en"


@pytest.mark.parametrize("path", EVERY)
def test_whatever_can_be_used_has_a_name_and_no_id_stands_twice(
    seen: Callable[[str], Look], path: str
) -> None:
    found = seen(path)
    assert found.nameless == []
    assert len(found.ids) == len(set(found.ids)), found.ids
    assert found.missing == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", EVERY)
def test_text_stands_out_from_its_ground(seen: Callable[[str], Look], path: str, theme: str) -> None:
    """WCAG 2.2 AA: 4.5 to 1, or 3 to 1 for large text; from the computed colours."""
    assert seen(path).theme[theme] == theme, "without a choice the system decides"
    assert seen(path).faint[theme] == []


@pytest.mark.parametrize("path", EVERY)
def test_axe_finds_no_barrier_light_or_dark_on_a_desk_or_a_phone(
    seen: Callable[[str], Look], path: str
) -> None:
    assert {look: found for look, found in seen(path).barriers.items() if found} == {}


@pytest.mark.parametrize("path", EVERY)
def test_no_page_scrolls_sideways_on_a_phone(seen: Callable[[str], Look], path: str) -> None:
    assert seen(path).wide <= 0
    assert seen(path).wide_unfolded <= 0, "with everything unfolded"


@pytest.mark.parametrize("path", EVERY)
def test_nothing_moves_after_it_was_drawn(seen: Callable[[str], Look], path: str) -> None:
    assert seen(path).shift < LITTLE


@needs_poppler
@pytest.mark.parametrize(
    ("path", "head", "times"),
    [
        ("ROWS", "Strongest reason", 2),
        ("/review", "Expected loss", 1),
        ("/explore/flips?detector=payments&other_threshold=0.3", "Who and what", 1),
        ("/detectors/card", "Usual values", 1),
    ],
)
def test_a_page_is_printed_on_two_sheets_with_its_heads_again(
    clerk: Watched, made: dict[str, str], tmp_path: Path, path: str, head: str, times: int
) -> None:
    clerk.open(made.get(path, path))
    clerk.page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    done = subprocess.run(
        ["pdftotext", "-layout", tmp_path / "page.pdf", "-"], check=True, capture_output=True
    )
    sheets = done.stdout.decode().rstrip("\f").split("\f")
    assert len(sheets) <= 2
    assert sum(head in sheet for sheet in sheets) >= times


def test_a_chosen_theme_stays_and_is_there_at_the_first_paint(clerk: Watched) -> None:
    page = clerk.page
    clerk.open("/upload")
    page.click("details.user summary")
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.add_init_script(
        "document.addEventListener('DOMContentLoaded', () => {"
        "window.first = getComputedStyle(document.body).backgroundColor; });"
    )
    clerk.open("/results")
    assert page.evaluate("window.first") == dark
    page.click("details.user summary")
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Light").click()
    clerk.becomes(lambda: page.evaluate("getComputedStyle(document.body).backgroundColor") != dark)


def test_on_a_phone_the_place_of_the_page_that_is_open_is_seen(clerk: Watched) -> None:
    """Four sections stand at the foot, the others in a menu that shows whether it has the open one."""
    page = clerk.page
    page.set_viewport_size(PHONE)

    def is_seen(place: Any) -> bool:
        box = place.bounding_box()
        return (
            box is not None
            and box["x"] >= 0
            and box["x"] + box["width"] <= PHONE["width"]
            and box["y"] + box["height"] <= PHONE["height"]
        )

    clerk.open("/results")
    clerk.becomes(lambda: is_seen(page.locator(".rail-links [aria-current]")))
    expect(page.locator(".rail-more.here")).to_have_count(0)
    clerk.open("/monitoring")
    clerk.becomes(lambda: is_seen(page.locator(".rail-more.here > summary")))
    page.locator(".rail-more > summary").click()
    link = page.locator(".rail-more [aria-current=page]")
    expect(link).to_have_text("Monitoring")
    clerk.becomes(lambda: is_seen(link))


def test_who_wants_less_motion_gets_none(clerk: Watched) -> None:
    clerk.page.emulate_media(reduced_motion="reduce")
    clerk.open("/upload")
    moving = "[...document.querySelectorAll('*')].filter((one) => getComputedStyle(one).transitionDuration !== '0s')"
    assert clerk.page.evaluate(f"{moving}.length") == 0


def test_the_way_to_the_result_can_be_gone_with_the_keyboard_alone(clerk: Watched) -> None:
    page = clerk.page
    page.set_viewport_size(DESK)
    clerk.open("/upload")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip", "the first stop leads to the content"
    clerk.becomes(lambda: page.locator(".skip").bounding_box()["y"] >= 0)  # and is seen
    page.keyboard.press("Enter")
    walk(page, until="file", most=3)
    page.set_input_files("#file", ROOT / "transactions_data.csv")  # the system's own dialogue
    walk(page, until="send", most=3)
    page.keyboard.press("Enter")
    page.wait_for_selector("#flagged-title")
    page.wait_for_load_state()
    walk(page, until="sort-row", most=40)
    page.get_by_role("link", name="Overview").press("Enter")
    expect(
        page.locator("#trial-range")
    ).to_be_visible()  # by a script, once what carries its question is there
    page.wait_for_load_state()
    assert "trial-value" in walk(page, until="trial-value", most=40)
    page.get_by_role("link", name="All rows").press("Enter")
    page.wait_for_selector("#only-flagged")
    page.wait_for_load_state()
    stops = walk(page, until="sort-row", most=60)
    assert {"find", "only-flagged", "min-probability"} <= set(stops)
    walk(page, until="sort-probability", most=3)
    page.keyboard.press("Enter")
    page.wait_for_selector("#rows th[aria-sort=descending] #sort-probability")


def walk(page: Any, *, until: str, most: int) -> list[str]:
    """Press Tab until an element has the focus; every stop must be seen to have it."""
    stops: list[str] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        here = page.evaluate(
            "(() => { const one = document.activeElement, style = getComputedStyle(one);"
            "return [one.id, style.outlineStyle, parseFloat(style.outlineWidth)]; })()"
        )
        assert here[1] != "none", (
            f"the focus isn't seen on {page.evaluate('document.activeElement.outerHTML')}"
        )
        assert here[2] >= 1
        stops.append(here[0])
        if here[0] == until:
            return stops
    pytest.fail(f"{until} was not reached: {stops}")


def test_the_menu_opens_and_closes_with_the_keyboard(clerk: Watched) -> None:
    page = clerk.page
    clerk.open("/upload")
    page.focus("details.user summary")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Log out").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Log out")).to_be_hidden()
    clerk.becomes(lambda: page.evaluate("document.activeElement.tagName"), "SUMMARY")
