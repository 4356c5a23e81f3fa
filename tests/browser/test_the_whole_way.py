"""From signing up to the downloads, as a clerk goes it in a browser."""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest

from screening.settings import ROOT
from tests.browser.conftest import LARGEST_MB, PASSWORD, WHY_NOT, Watched, keep, send, sign_up

expect = pytest.importorskip("playwright.sync_api", reason=WHY_NOT).expect

SAMPLE = ROOT / "transactions_data.csv"
DROP = """async ([text, name]) => {
  const data = new DataTransfer();
  data.items.add(new File([text], name, {type: "text/csv"}));
  const box = document.getElementById("drop");
  box.dispatchEvent(new DragEvent("dragover", {dataTransfer: data, bubbles: true, cancelable: true}));
  const over = box.classList.contains("over");
  box.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
  return over;
}"""


def count(page: Any, word: str) -> int:
    """A figure of the strip of counts."""
    shown = page.locator(".facts-line > div", has_text=re.compile(f"^{word}")).locator("dd").inner_text()
    return int(shown.split()[0].replace(",", ""))


def broken(tmp_path: Path) -> Path:
    """The sample with text for a number, an empty cell and an infinity."""
    header, *rows = list(csv.reader(SAMPLE.open(encoding="utf-8")))
    for row, column, value in ((3, "V4", "abc"), (10, "Amount", ""), (77, "V9", "inf")):
        rows[row][header.index(column)] = value
    file = tmp_path / "broken.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return file


def test_a_newcomer_without_a_file_reads_which_rows_are_fraud_after_four_actions_of_the_keyboard(
    browser: Watched,
) -> None:
    """Open the page, sign up, send the form, try the sample."""
    page = browser.page
    browser.open("/")
    page.get_by_role("main").get_by_role("link", name="Sign up").press("Enter")
    page.wait_for_url("**/signup")
    expect(page.locator("#username")).to_be_focused()
    for text in ("new.clerk", "new.clerk@bank.example", PASSWORD):
        page.keyboard.type(text)
        page.keyboard.press("Tab" if text != PASSWORD else "Enter")
    page.get_by_role("button", name="Try with sample data").press("Enter")
    page.wait_for_selector("#flagged-title")
    page.wait_for_load_state()
    expect(page).to_have_url(re.compile(r"/results/\w{32}$"))
    flagged = count(page, "Flagged")
    assert count(page, "Transactions") == count(page, "Not flagged") + flagged == 3519
    rows = page.locator("#rows tbody tr")
    assert flagged > 0
    expect(rows).to_have_count(flagged)
    scores = [float(text.strip("<> ")) for text in page.locator("#rows .chance-value").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 80
    rows.first.locator(".row-link").click()
    expect(page.locator(".drawer .reason-bars li")).to_have_count(3)


def test_fifteen_flagged_rows_are_above_the_fold_and_say_who(clerk: Watched) -> None:
    """Who, how much, how likely and why, one line a row, in a window of 1280 by 800."""
    send(clerk, ROOT / "model" / "detectors" / "ecommerce" / "sample.csv")
    keep(clerk, "result-light")
    page = clerk.page
    fold = 800
    fifteenth = page.locator("#rows tbody tr >> nth=14").bounding_box()
    assert fifteenth["y"] + fifteenth["height"] <= fold
    assert fifteenth["height"] <= 37, "one line"
    expect(page.locator("#rows tbody tr:first-child .who code").first).not_to_have_text("–")
    expect(page.locator("#rows tbody tr:first-child .why")).not_to_be_empty()


def test_a_row_opens_beside_the_list_and_its_address_brings_it_back(clerk: Watched) -> None:
    send(clerk, SAMPLE)
    page = clerk.page
    first, second = page.locator("#rows .row-link").all()[:2]
    number, following = first.inner_text(), second.inner_text()
    assert int(following) != int(number) + 1, "the next of the list isn't the next of the file"
    page.keyboard.press("j")
    first.focus()
    page.keyboard.press("Enter")
    drawer = page.locator("dialog.drawer")
    expect(drawer.locator("h1")).to_have_text(f"Row {number}: flagged")
    expect(page).to_have_url(re.compile(rf"[?&]open={number}$"))
    keep(clerk, "drawer")
    page.keyboard.press("j")
    expect(drawer.locator("h1")).to_have_text(f"Row {following}: flagged")
    page.reload()
    expect(drawer.locator("h1")).to_have_text(f"Row {following}: flagged")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(page.locator(".row-link:focus")).to_have_text(following)
    expect(page).not_to_have_url(
        re.compile("open=")
    )  # a dialog says that it closed a task later than it is gone
    page.locator("#rows .row-link").first.focus()
    page.keyboard.press("j")
    clerk.becomes(lambda: page.evaluate("document.activeElement.innerText"), second.inner_text())
    page.keyboard.press("k")
    clerk.becomes(lambda: page.evaluate("document.activeElement.innerText"), number)


def test_every_page_is_reached_by_its_name_and_every_id_by_the_search(clerk: Watched) -> None:
    clerk.open("/")
    page = clerk.page
    page.keyboard.press("Control+k")
    page.keyboard.type("api key")
    page.keyboard.press("Enter")
    page.wait_for_url("**/admin/keys")
    page.keyboard.press("Control+k")
    page.keyboard.type("nobody at all")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search?q=nobody+at+all")
    page.locator("main").click()
    page.keyboard.press("/")
    clerk.becomes(lambda: page.evaluate("document.activeElement.id"), "search")
    page.keyboard.press("Control+k")
    page.keyboard.press("Escape")
    clerk.becomes(
        lambda: page.evaluate("document.activeElement.id"), "search"
    )  # it goes back to where it was


def test_the_rail_stays_as_narrow_as_it_was_left(clerk: Watched) -> None:
    clerk.open("/")
    page = clerk.page

    def width() -> float:
        found: float = page.locator(".rail").bounding_box()["width"]
        return found

    page.get_by_role("button", name="Narrow rail").click()
    clerk.becomes(width, 56)
    clerk.open("/results")
    clerk.becomes(width, 56)
    expect(page.get_by_role("link", name="Monitoring")).to_be_visible()  # a link of an icon has its name
    page.get_by_role("button", name="Narrow rail").click()
    clerk.becomes(width, 216)


def test_a_dropped_file_is_taken_and_sent(clerk: Watched) -> None:
    clerk.open("/upload")
    page = clerk.page
    assert page.evaluate(DROP, [SAMPLE.read_text(encoding="utf-8"), "dropped.csv"]), (
        "the frame shows that it takes it"
    )
    expect(page.locator("#chosen")).to_contain_text("dropped.csv")
    clerk.becomes(lambda: page.evaluate("document.activeElement.id"), "send")
    page.keyboard.press("Enter")
    page.wait_for_selector("#flagged-title")
    expect(page.locator("h1")).to_contain_text("dropped.csv")


def test_a_broken_file_is_explained_beside_the_form_and_can_be_scored_without_its_bad_rows(
    clerk: Watched, tmp_path: Path
) -> None:
    page = clerk.page
    clerk.open("/upload")
    page.set_input_files("#file", broken(tmp_path))
    page.click("#send")
    page.wait_for_selector("#error")
    clerk.becomes(
        lambda: page.evaluate("document.activeElement.id"), "error"
    )  # where a screen reader is led to
    expect(page.locator("#error [data-of=remedy]")).not_to_be_empty()
    found = [row.split("\t")[:4] for row in page.locator("#error tbody tr").all_inner_texts()]
    assert found == [["4", "5", "V4", "abc"], ["11", "12", "Amount", "(empty)"], ["78", "79", "V9", "inf"]]
    keep(clerk, "broken-file")
    page.get_by_text("More options").click()
    page.check("#set_aside")
    page.click("#send")
    page.wait_for_selector("#flagged-title")
    page.wait_for_load_state()
    assert count(page, "Unreadable rows") == 3
    page.get_by_role("link", name="which and why").click()
    expect(page.locator("#unreadable tbody tr")).to_have_count(3)


def test_a_missing_column_is_named(clerk: Watched, tmp_path: Path) -> None:
    rows = list(csv.reader(SAMPLE.open(encoding="utf-8")))
    without = rows[0].index("V14")
    file = tmp_path / "narrow.csv"
    file.write_text("\n".join(",".join(row[:without] + row[without + 1 :]) for row in rows), encoding="utf-8")
    clerk.open("/upload")
    clerk.page.set_input_files("#file", file)
    clerk.page.click("#send")
    expect(clerk.page.locator("#error")).to_contain_text("V14")


def test_a_file_over_the_limit_is_refused_before_it_is_sent(clerk: Watched, tmp_path: Path) -> None:
    file = tmp_path / "large.csv"
    file.write_bytes(b"x" * (LARGEST_MB * 2**20 + 1))
    clerk.open("/upload")
    clerk.page.set_input_files("#file", file)
    sent: list[str] = []
    clerk.page.on("request", lambda request: sent.append(request.url))
    clerk.page.click("#send")
    expect(clerk.page.locator("#error")).to_contain_text("too large")
    assert sent == []


def test_a_lost_connection_is_said_and_the_form_is_free_again(clerk: Watched) -> None:
    clerk.open("/upload")
    clerk.page.set_input_files("#file", SAMPLE)
    clerk.page.route("**/upload", lambda route: route.abort())
    clerk.page.click("#send")
    expect(clerk.page.locator("#error")).to_contain_text("Nothing was scored")
    expect(clerk.page.locator("#send")).to_be_enabled()
    expect(clerk.page.locator("#sending")).to_be_hidden()


def test_all_rows_are_sorted_filtered_and_turned_without_loading_the_page_anew(clerk: Watched) -> None:
    send(clerk, SAMPLE)
    page = clerk.page
    page.get_by_role("link", name="All rows").click()
    expect(page.locator("#only-flagged")).to_be_visible()
    page.wait_for_load_state()  # htmx listens
    page.evaluate("window.same = true")
    shown, rows = page.locator("#rows .chance-value"), page.locator("#rows tbody tr")
    page.click("#sort-amount")
    page.wait_for_selector("#rows th[aria-sort=descending] #sort-amount")
    amounts = [
        float(text.replace(",", "")) for text in page.locator("#rows tbody td:nth-child(4)").all_inner_texts()
    ]
    assert amounts == sorted(amounts, reverse=True)
    clerk.becomes(lambda: page.evaluate("document.activeElement.id"), "sort-amount")  # it stays where it was
    flagged = count(page, "Flagged")
    page.check("#only-flagged")
    expect(rows).to_have_count(flagged)
    page.fill("#min-probability", "0.9")
    page.keyboard.press("Enter")
    expect(rows).not_to_have_count(flagged)
    clerk.becomes(lambda: all(float(text.strip("<> ")) >= 90 for text in shown.all_inner_texts()))
    page.uncheck("#only-flagged")
    page.fill("#min-probability", "")
    page.keyboard.press("Enter")
    page.wait_for_selector("#turn-next")
    page.wait_for_load_state("networkidle")  # the box and the number ask one after the other
    page.click("#turn-next")
    expect(page.locator("#rows [role=status]")).to_contain_text("51 to 100")
    expect(page).to_have_url(re.compile("page=2"))  # a reload or a bookmark shows the same rows
    assert page.evaluate("window.same"), "the page itself was never loaded again"


def test_a_filter_that_nothing_passes_says_how_to_go_back(clerk: Watched) -> None:
    send(clerk, SAMPLE)
    clerk.page.get_by_role("link", name="All rows").click()
    clerk.page.fill("#min-amount", "99999999")
    clerk.page.keyboard.press("Enter")
    clerk.page.get_by_role("link", name="Show all rows").click()
    expect(clerk.page.locator("#rows tbody tr")).to_have_count(50)
    expect(clerk.page.locator("#min-amount")).to_have_value("")


def test_the_slider_shows_how_many_rows_another_threshold_would_flag(clerk: Watched) -> None:
    send(clerk, SAMPLE)
    page = clerk.page
    before = count(page, "Flagged")
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("#trial-range")).to_be_visible()  # what is hidden can't have the focus
    page.focus("#trial-range")
    page.keyboard.press("Home")
    expect(page.locator("#trial-answer dt").first).to_contain_text("0.01")
    least = int(page.locator("#trial-answer dd").first.inner_text().split()[0])
    page.keyboard.press("End")
    expect(page.locator("#trial-answer dt").first).to_contain_text("at 1 ")
    most = int(page.locator("#trial-answer dd").first.inner_text().split()[0])
    assert least >= before >= most
    expect(page.locator("#trial-value")).to_have_value("1")
    line, right = page.locator("#trial-line"), float(page.locator("#histogram").get_attribute("data-right"))
    clerk.becomes(lambda: float(line.get_attribute("x1")), right)
    assert count(page, "Flagged") == before, "trying changes nothing"


def test_the_slider_waits_for_what_carries_its_question(clerk: Watched) -> None:
    """A slider that moves before anything listens would leave the old count beside the new number."""
    send(clerk, SAMPLE)
    page = clerk.page
    page.route("**/htmx.min*.js", lambda route: route.abort())
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("#trial-value")).to_be_visible()
    expect(page.locator("#trial-range")).to_be_hidden()
    page.fill("#trial-value", "1")
    page.locator("#trial-form button").click()
    expect(page.locator("#trial-answer dt").first).to_contain_text("at 1 ")
    clerk.faults.clear()  # the browser reports the script that this test kept from it


def test_scores_come_back_in_the_order_of_the_file_with_its_own_columns(clerk: Watched) -> None:
    send(clerk, SAMPLE)
    page = clerk.page
    flagged = count(page, "Flagged")
    page.get_by_text("Download", exact=True).click()
    with page.expect_download() as download:
        page.get_by_role("link", name="All rows with scores").click()
    given = list(csv.DictReader(SAMPLE.open(encoding="utf-8")))
    with Path(download.value.path()).open(encoding="utf-8-sig") as stream:
        got = list(csv.DictReader(stream))
    assert [{name: row[name] for name in given[0]} for row in got] == given
    assert sum(row["flagged"] == "true" for row in got) == flagged


@pytest.mark.parametrize("name", ["Flagged rows with reasons", "Report (Excel)"])
def test_the_other_downloads_arrive(clerk: Watched, name: str) -> None:
    send(clerk, SAMPLE)
    clerk.page.get_by_text("Download", exact=True).click()
    with clerk.page.expect_download() as download:
        clerk.page.get_by_role("link", name=name).click()
    assert Path(download.value.path()).stat().st_size > 500


def test_a_screening_stands_in_the_list_until_it_is_deleted(browser: Watched) -> None:
    sign_up(browser, "tidy.clerk")
    page = browser.page
    browser.open("/results")
    says_how = page.get_by_role("main").get_by_role("link", name="Screen a file")
    expect(says_how).to_be_visible()
    send(browser, SAMPLE)
    browser.open("/results")
    page.get_by_role("main").get_by_role("link", name="transactions_data.csv").click()
    page.wait_for_selector("#flagged-title")
    page.get_by_role("link", name="Receipt").click()
    page.get_by_text("Delete this screening").click()
    page.get_by_role("button", name="Delete it").click()
    page.wait_for_url("**/results")
    expect(page.get_by_text("Nothing screened yet")).to_be_visible()


def test_logging_out_ends_it(browser: Watched) -> None:
    sign_up(browser, "leaving.clerk")
    browser.page.click("details.user summary")
    browser.page.get_by_role("button", name="Log out").click()
    browser.page.wait_for_url("**/login")
    browser.open("/results")
    expect(browser.page).to_have_url(re.compile("/login"))


def test_a_long_file_shows_how_far_it_is_and_gives_way_to_its_result(clerk: Watched, tmp_path: Path) -> None:
    header, *rows = SAMPLE.read_text(encoding="utf-8").splitlines()
    numbered = (f"{row},{token_hex(6)}" for _ in range(300) for row in rows)
    file = tmp_path / "long.csv.gz"
    file.write_bytes(gzip.compress("\n".join([f"{header},reference", *numbered]).encode(), compresslevel=1))
    clerk.open("/upload")
    page = clerk.page
    at_once = {"prefer": "wait=0"}
    page.route("**/upload", lambda route: route.continue_(headers={**route.request.headers, **at_once}))
    page.set_input_files("#file", file)
    page.click("#send")
    page.wait_for_selector("#progress progress")
    keep(clerk, "progress")
    page.wait_for_selector("#flagged-title", timeout=60_000)
    page.wait_for_load_state()
    assert count(page, "Transactions") == 60_000


def test_a_session_that_ended_leads_to_the_login_and_back_to_the_same_rows(clerk: Watched) -> None:
    send(clerk, SAMPLE)
    page, result = clerk.page, clerk.page.url
    page.context.clear_cookies()
    page.click("#sort-amount")
    page.wait_for_url("**/login?**")
    expect(page.locator("#rows")).to_have_count(0)  # the login page stands for itself, not inside the table
    page.fill("#username", "first.clerk")
    page.fill("#password", PASSWORD)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{result}*")


def test_rows_are_as_low_as_somebody_wants_them_and_stay_so(clerk: Watched) -> None:
    page = clerk.page
    send(clerk, ROOT / "transactions_data.csv")
    row = page.locator("#rows tbody tr").first

    def height() -> float:
        found: float = row.evaluate("one => one.getBoundingClientRect().height")
        return found

    clerk.becomes(lambda: 36 <= height() < 38)
    page.get_by_role("button", name="Compact rows").click()
    clerk.becomes(lambda: 28 <= height() < 30)
    page.reload()
    assert 28 <= height() < 30, "from the first paint on"
    page.get_by_role("link", name="All rows").click()
    expect(page.locator("#only-flagged")).to_be_visible()
    page.wait_for_load_state()
    page.locator("#sort-probability").click()
    page.locator("#rows th[aria-sort] #sort-probability").wait_for()
    button = page.get_by_role("button", name="Compact rows")
    expect(button).to_have_attribute("aria-pressed", "true")
    button.click()
    clerk.becomes(lambda: 36 <= height() < 38)
