"""The dashboard as people use it: charts, filters in the address, marks that lead to rows, both themes, no stranger."""

from __future__ import annotations

import re
from typing import Any

import pytest

from screening.settings import ROOT
from tests.browser.conftest import DESK, PHONE, Watched, entered, keep, send
from tests.browser.looks import WIDE


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


def test_filters_stand_in_the_address_and_drive_every_chart(board: Watched) -> None:
    page = board.page
    whole = page.locator("#summary .kpi-value").first.inner_text()
    page.get_by_label("Fraud type", exact=True).select_option("Courier scam")
    page.locator("#geography-notes", has_text="Too small").wait_for(state="detached")
    page.wait_for_url("**/dashboard/?fraud_type=Courier+scam")
    fewer = page.locator("#summary .kpi-value").first.inner_text()
    assert fewer != whole
    page.reload()
    drawn(board)
    assert page.get_by_label("Fraud type", exact=True).input_value() == "Courier scam"
    assert page.locator("#summary .kpi-value").first.inner_text() == fewer
    page.go_back()
    page.locator("#summary .kpi-value", has_text=re.compile(f"^{re.escape(whole)}$")).first.wait_for()
    assert page.get_by_label("Fraud type", exact=True).input_value() == ""


def test_a_mark_leads_to_its_rows(board: Watched) -> None:
    page = board.page
    bar = page.locator("#detectors-box .bars .point path").first
    bar.scroll_into_view_if_needed()
    box = bar.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
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
    page.wait_for_timeout(500)
    assert ink() != light
    page.set_viewport_size(PHONE)
    page.wait_for_timeout(500)
    assert page.evaluate(WIDE) <= 0
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
    assert page.get_by_role("alert").count() == 0
    page.context.clear_cookies()
    page.get_by_label("Came by").select_option("api")
    page.get_by_role("alert").filter(has_text="You are logged out").wait_for()
    assert page.locator("#react-entry-point.board-stale").count() == 1


def test_a_file_that_is_uploaded_here_comes_back_here_with_its_rows(clerk: Watched) -> None:
    page = clerk.page
    clerk.open("/dashboard/")
    page.get_by_label("File of transactions").set_input_files(ROOT / "transactions_data.csv")
    page.get_by_role("button", name="Run Fraud Detection").click()
    page.wait_for_url("**/dashboard/#result-title")
    result = page.locator(".board-result")
    result.get_by_text("transactions_data.csv", exact=False).first.wait_for()
    rows = result.locator("tbody tr")
    assert 1 <= rows.count() <= 10
    page.locator("#detectors-box .bars path").first.wait_for(state="attached")
    box = page.locator("#result-title").bounding_box()
    assert 40 < box["y"] < 400, "in sight, also when all charts have their room"
    rows.first.locator("a").click()
    page.wait_for_url("**/results/*/rows/*")
    page.get_by_text("odds ×").first.wait_for()


def test_tables_are_there_when_they_are_opened_and_follow_the_filters(board: Watched) -> None:
    page = board.page
    table = page.locator("#types-table table")
    assert table.count() == 0
    page.locator("#types-details summary").click()
    table.wait_for()
    assert table.locator("tbody tr").count() == 2
    page.get_by_label("Fraud type", exact=True).select_option("Courier scam")
    page.locator("#types-table tbody tr").nth(1).wait_for(state="detached")
    assert table.locator("tbody th").inner_text() == "Courier scam"
