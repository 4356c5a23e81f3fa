"""A password from an administrator, in a browser: without a script, on a phone, in the dark, with the keyboard."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import DESK, PHONE, WHY_NOT, Site, Watched, keep, new_page, sign_up
from tests.browser.looks import CONTRAST, INLINE, NAMED, WIDE

expect = pytest.importorskip("playwright.sync_api", reason=WHY_NOT).expect


def given(clerk: Watched, chromium: Any, site: Site, name: str) -> str:
    """The password that an administrator makes for a new account."""
    fresh = new_page(chromium, site)
    sign_up(fresh, name)
    fresh.page.context.close()
    clerk.open("/admin/users")
    clerk.page.get_by_role("button", name=f"Reset the password of {name}").click()
    found: str = clerk.page.locator(".notice code").inner_text()
    expect(clerk.page.locator("tr", has_text=name).get_by_text("to be changed at log-in")).to_have_count(1)
    return found


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("desk", {"viewport": DESK, "color_scheme": "dark"}),
        ("phone", {"viewport": PHONE}),
        ("plain", {"viewport": PHONE, "java_script_enabled": False}),
    ],
)
def test_the_way_from_a_handed_password_to_ones_own(
    clerk: Watched, chromium: Any, site: Site, name: str, options: dict[str, Any]
) -> None:
    password = given(clerk, chromium, site, f"handed.{name}")
    watched = new_page(chromium, site, **options)
    page = watched.page
    watched.open("/results")
    page.fill("#username", f"handed.{name}")
    page.fill("#password", password)
    page.keyboard.press("Enter")
    page.wait_for_url("**/account?next=/results")
    expect(page.get_by_role("heading", level=1)).to_have_text("Choose your own password")
    if options.get("java_script_enabled", True):
        assert page.evaluate(INLINE) == page.evaluate(NAMED) == page.evaluate(CONTRAST) == []
        watched.becomes(lambda: page.evaluate(WIDE) <= 0)
    keep(watched, f"handed-{name}")
    page.get_by_label("The password that you were given").fill(password)
    page.get_by_label("New password").fill("a lamp above the green door 3")
    page.keyboard.press("Enter")
    page.wait_for_url(site.url + "/results")
    expect(page.get_by_text("The password was changed.")).to_be_visible()
    assert watched.faults == []
    page.context.close()
