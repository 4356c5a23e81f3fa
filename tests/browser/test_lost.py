"""An entry whose files are gone, on a phone and in the dark."""

from __future__ import annotations

import shutil

import pytest

from screening.settings import ROOT
from tests.browser.conftest import DESK, PHONE, WHY_NOT, Watched, keep, send
from tests.browser.looks import CONTRAST, INLINE, WIDE

expect = pytest.importorskip("playwright.sync_api", reason=WHY_NOT).expect


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_entry_whose_files_are_gone_says_so_and_can_be_deleted(clerk: Watched, theme: str) -> None:
    clerk.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    send(clerk, ROOT / "transactions_data.csv")
    address = clerk.page.url
    clerk.page.locator("#rows .row-link").first.click()
    clerk.page.locator(".drawer h1").wait_for()
    expect(clerk.page.locator(".drawer [data-again]")).to_have_count(0)  # the worker has done with its files
    shutil.rmtree(clerk.site.folder / "instance" / "screenings" / address.rpartition("/")[2])
    for name, size in (("phone", PHONE), ("desk", DESK)):
        clerk.page.set_viewport_size(size)
        clerk.page.goto(address)
        clerk.becomes(lambda: clerk.page.evaluate(WIDE) <= 0)
        assert clerk.page.evaluate(INLINE) == clerk.page.evaluate(CONTRAST) == []
        keep(clerk, f"lost-{name}-{theme}")
    clerk.page.get_by_role("button", name="Delete this entry").click()
    clerk.page.wait_for_url("**/results")
    clerk.page.wait_for_load_state()
    expect(clerk.page.locator(f'a[href="{address.removeprefix(clerk.site.url)}"]')).to_have_count(0)
