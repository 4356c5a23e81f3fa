"""From a labelled file to a detector that screens, in a browser, with the real workshop."""

from __future__ import annotations

import csv
import random
import re
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import WHY_NOT, Site, Watched, keep, new_page

expect = pytest.importorskip("playwright.sync_api", reason=WHY_NOT).expect

HEADER = ("paid_at", "card", "shop", "sum", "browser", "stolen")
TRAINING_MS = 110_000


def past(folder: Path, rows: int = 3000) -> Path:
    """Payments of some weeks: high sums at a few shops are mostly fraud."""
    draw = random.Random(7)
    when = datetime(2024, 3, 1, tzinfo=UTC)
    file = folder / "past.csv"
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(HEADER)
        for _ in range(rows):
            when += timedelta(minutes=draw.expovariate(1 / 20))
            stolen = draw.random() < 0.06
            shop = draw.randrange(5 if stolen else 60)
            amount = round(draw.expovariate(1 / 30) + (60 if stolen else 0), 2)
            browser = draw.choice(("Chrome", "Safari", "Firefox"))
            writer.writerow(
                [
                    f"{when:%Y-%m-%d %H:%M}",
                    f"C{draw.randrange(300)}",
                    f"S{shop}",
                    amount,
                    browser,
                    int(stolen),
                ]
            )
    return file


def choose(watched: Watched, file: Path, name: str) -> None:
    """Send the file through the form; ends on the page of its columns."""
    watched.open("/detectors/new")
    watched.page.fill("#label", "stolen")
    watched.page.fill("#name", name)
    watched.page.set_input_files("#file", file)
    watched.page.click("#send")
    watched.page.wait_for_url("**/columns")


@pytest.mark.skipif(find_spec("xgboost") is None, reason="needs requirements.txt: run `make .venv/.run`")
def test_an_administrator_makes_a_detector_and_screens_a_file_with_it(clerk: Watched, tmp_path: Path) -> None:
    file, page = past(tmp_path), clerk.page
    choose(clerk, file, "browser-made")
    expect(page.get_by_label("Role of paid_at")).to_have_value("time")
    expect(page.get_by_label("Role of stolen")).to_have_value("label")
    expect(page.get_by_label("Role of sum")).to_have_value("amount")
    page.get_by_label("Role of shop").select_option("entity")
    keep(clerk, "training-columns")
    page.get_by_label("A quick look first").check()
    page.get_by_role("button", name="Train the detector").click()
    bar = page.locator("#progress progress")
    expect(bar).to_be_visible()
    expect(page.locator("#progress .sending-line .soft")).to_have_text(re.compile(r"^[1-9]"), timeout=60_000)
    keep(clerk, "training-progress")
    page.get_by_role("link", name="How good it is").click(timeout=TRAINING_MS)
    expect(page.locator("#figures-title")).to_be_visible()
    expect(page.get_by_text("trained by this installation").first).to_be_visible()
    expect(page.locator("h1")).to_have_text("Detector browser-made")
    page.get_by_text("All of them").click()
    clerk.becomes(lambda: page.get_by_role("row").count() > 20)  # each feature in words
    keep(clerk, "detector-made-here")

    clerk.open("/upload")
    page.get_by_text("More options").click()
    page.get_by_label("Detector").select_option("browser-made")  # on trial, it isn't chosen by itself
    page.set_input_files("#file", file)
    page.click("#send")
    page.wait_for_selector("#flagged-title", timeout=60_000)
    expect(page.get_by_role("link", name="browser-made").first).to_be_visible()

    clerk.open("/detectors/browser-made")
    page.get_by_text("Remove this detector").click()
    page.get_by_role("button", name="Remove browser-made").click()
    page.wait_for_url("**/detectors")
    expect(page.get_by_role("status")).to_contain_text("browser-made was removed")


def test_a_wrong_label_is_answered_with_the_columns_that_are_there(clerk: Watched, tmp_path: Path) -> None:
    page = clerk.page
    clerk.open("/detectors/new")
    page.fill("#label", "fraud")
    page.fill("#name", "mine")
    page.set_input_files("#file", past(tmp_path, 50))
    page.click("#send")
    expect(page.locator("#error")).to_contain_text("stolen")
    expect(page.locator("#label")).to_have_value("fraud")  # what was typed stays
    clerk.becomes(lambda: page.evaluate("document.activeElement.id"), "error")


def test_without_script_a_training_is_begun_followed_and_cancelled(
    chromium: Any, site: Site, state: Any, tmp_path: Path
) -> None:
    plain = new_page(chromium, site, java_script_enabled=False, storage_state=state)
    choose(plain, past(tmp_path), "given-up")
    page = plain.page
    page.get_by_role("button", name="Train the detector").click()
    expect(page.locator("progress")).to_be_visible()
    page.get_by_role("button", name="Cancel this training").click()
    expect(page.get_by_role("heading", name="Cancelled")).to_be_visible()
    plain.open("/detectors")
    expect(page.get_by_role("row").filter(has_text="given-up").get_by_text("cancelled")).to_be_visible()
    plain.check()
    page.context.close()
