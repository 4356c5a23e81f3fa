"""The dashboard as people use it: charts, filters in the address, marks that lead to rows, both themes, no stranger."""

from __future__ import annotations

from typing import Any

import pytest

from screening.settings import ROOT
from tests.browser.conftest import DESK, PHONE, WHY_NOT, Watched, entered, keep, send
from tests.browser.looks import WIDE

expect = pytest.importorskip("playwright.sync_api", reason=WHY_NOT).expect


@pytest.fixture
def board(clerk: Watched, tmp_path: Any) -> Watched:
    """The dashboard, with a file in the ledger that has countries and types of fraud."""
    lines = (ROOT / "model" / "detectors" / "payments" / "sample.csv").read_text("utf-8").splitlines()[:1500]
    file = tmp_path / "countries.csv"
    more = [("country", "fraud_type"), ("DE", "Identity theft"), ("FR", "Courier scam"), ("SG", "")]
    file.write_text(
        "\n".join(
            f"{line},{','.join(more[0] if not at else more[1 + at % 3])}" for at, line in enumerate(lines)
        )
        + "\n",
        encoding="utf-8",
    )
    send(clerk, file)
    entered(clerk)
    clerk.open("/dashboard/")
    drawn(clerk)
    return clerk


def drawn(watched: Watched) -> None:
    """Wait until the charts stand there."""
    watched.page.locator("#trends-box .main-svg").first.wait_for()
    watched.page.locator("#react-entry-point[aria-busy=false]").wait_for()
    watched.page.locator(
        "#geography-box path.choroplethlayer, #geography-box .choroplethlayer path"
    ).first.wait_for()
    expect(watched.page.locator("#summary .kpi-value").first).not_to_be_empty()


def test_filters_stand_in_the_address_and_drive_every_chart(board: Watched) -> None:
    page = board.page
    total, kind = page.locator("#summary .kpi-value").first, page.get_by_label("Fraud type", exact=True)
    whole = total.inner_text()
    kind.select_option("Courier scam")
    page.locator("#geography-notes", has_text="Too small").wait_for(state="detached")
    page.wait_for_url("**/dashboard/?fraud_type=Courier+scam")
    expect(total).not_to_have_text(whole)
    page.locator("#react-entry-point[aria-busy=false]").wait_for()
    fewer = total.inner_text()
    page.reload()
    drawn(board)
    expect(kind).to_have_value("Courier scam")
    expect(total).to_have_text(fewer)
    page.go_back()
    expect(total).to_have_text(whole)
    expect(kind).to_have_value("")


def test_a_mark_leads_to_its_rows(board: Watched) -> None:
    page = board.page
    bar = page.locator("#detectors-box .bars .point path").first
    label = page.locator("#detectors-box .hoverlayer .hovertext").first

    def pointed_at() -> bool:
        """Move the mouse onto the bar, wherever the charts above have pushed it meanwhile."""
        bar.scroll_into_view_if_needed()
        page.mouse.move(0, 0)
        bar.hover(force=True)  # a sheet that takes the mouse for all marks lies above it
        return bool(label.is_visible())

    board.becomes(pointed_at)
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**/explore/transactions?detector=*")
    page.locator(".chips", has_text="Detector").wait_for()
    page.go_back()
    drawn(board)
    page.locator("#types-details summary").click()
    page.locator("#types-table a").first.click()
    page.wait_for_url("**/explore/transactions?fraud_type=*")


def test_charts_are_dark_where_the_page_is_and_fit_a_phone(board: Watched) -> None:
    page = board.page

    def ink() -> str:
        found: str = page.locator("#trends-box .xtick text").first.evaluate(
            "one => getComputedStyle(one).fill"
        )
        return found

    page.emulate_media(color_scheme="light")
    light = ink()
    keep(board, "dashboard-charts-light")
    page.emulate_media(color_scheme="dark")
    page.locator("html[data-bs-theme=dark]").wait_for()
    board.becomes(lambda: ink() != light)
    page.set_viewport_size(PHONE)
    board.becomes(lambda: page.evaluate(WIDE) <= 0)
    keep(board, "dashboard-charts-phone")
    page.set_viewport_size(DESK)


def test_figures_of_other_filters_are_marked_when_they_cannot_be_had(board: Watched) -> None:
    page = board.page
    page.route("**/_dash-update-component*", lambda route: route.abort())
    page.get_by_label("Came by").select_option("file")
    page.get_by_role("alert").filter(has_text="can't be reached").wait_for()
    page.unroute("**/_dash-update-component*")
    page.get_by_label("Came by").select_option("")
    page.locator("#react-entry-point[aria-busy=false]").wait_for()
    expect(page.get_by_role("alert")).to_have_count(0)
    page.context.clear_cookies()
    page.get_by_label("Came by").select_option("api")
    page.get_by_role("alert").filter(has_text="You are logged out").wait_for()
    expect(page.locator("#react-entry-point.board-stale")).to_have_count(1)


def test_a_file_that_is_uploaded_here_comes_back_here_with_its_rows(clerk: Watched) -> None:
    page = clerk.page
    clerk.open("/dashboard/")
    page.get_by_label("File of transactions").set_input_files(ROOT / "transactions_data.csv")
    page.get_by_role("button", name="Run Fraud Detection").click()
    page.wait_for_url("**/dashboard/#result-title")
    result = page.locator(".board-result")
    result.get_by_text("transactions_data.csv", exact=False).first.wait_for()
    rows = result.locator("tbody tr")
    rows.first.wait_for()
    assert rows.count() <= 10
    page.locator("#detectors-box .bars path").first.wait_for(state="attached")
    title = page.locator("#result-title")  # in sight, also when all charts have their room
    clerk.becomes(lambda: 40 < title.bounding_box()["y"] < 400)
    rows.first.locator("a").click()
    page.wait_for_url("**/results/*/rows/*")
    page.get_by_text("odds ×").first.wait_for()


def test_tables_are_there_when_they_are_opened_and_follow_the_filters(board: Watched) -> None:
    page = board.page
    table = page.locator("#types-table table")
    assert table.count() == 0
    page.locator("#types-details summary").click()
    table.wait_for()
    expect(table.locator("tbody tr")).to_have_count(2)
    page.get_by_label("Fraud type", exact=True).select_option("Courier scam")
    page.locator("#types-table tbody tr").nth(1).wait_for(state="detached")
    expect(table.locator("tbody th")).to_have_text("Courier scam")
