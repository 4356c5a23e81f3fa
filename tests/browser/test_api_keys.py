"""An API key in a browser: made, copied, used and revoked, on a desk, on a phone, in the dark and without a script."""

from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

import pytest

from screening.accounts import key_text
from tests.browser.conftest import DESK, PHONE, WHY_NOT, Site, Watched, keep, new_page
from tests.browser.looks import CONTRAST, INLINE, NAMED, WIDE

expect = pytest.importorskip("playwright.sync_api", reason=WHY_NOT).expect


def asked(site: Site, key: str) -> int:
    request = urllib.request.Request(f"{site.url}/summary", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def look(watched: Watched, name: str, *, script: bool) -> None:
    """Check the looks of what is shown, and keep a picture."""
    if script:
        for found in (INLINE, NAMED, CONTRAST):
            assert watched.page.evaluate(found) == []
        watched.becomes(lambda: watched.page.evaluate(WIDE) <= 0)
    keep(watched, f"keys-{name}")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("desk", {"viewport": DESK, "permissions": ["clipboard-read", "clipboard-write"]}),
        ("desk-dark", {"viewport": DESK, "color_scheme": "dark"}),
        ("phone", {"viewport": PHONE}),
        ("phone-dark", {"viewport": PHONE, "color_scheme": "dark"}),
        ("plain", {"viewport": PHONE, "java_script_enabled": False}),
    ],
)
def test_the_life_of_a_key(state: Any, chromium: Any, site: Site, name: str, options: dict[str, Any]) -> None:
    script = options.get("java_script_enabled", True)
    watched = new_page(chromium, site, storage_state=state, **options)
    page, called = watched.page, f"Kartenautorisierung_des_Rechenzentrums_{name}"
    watched.open("/admin/keys")
    page.get_by_label("Name").fill(called)
    page.get_by_label("score: ").uncheck()
    page.get_by_role("button", name="Make the key").click()
    expect(page.get_by_role("alert")).to_contain_text("Choose at least one of score")
    page.wait_for_load_state()
    look(watched, f"{name}-refused", script=script)

    expect(page.get_by_label("Name")).to_have_value(called)
    page.get_by_label("read: ").check()
    page.get_by_role("button", name="Make the key").click()
    text = page.locator("#new-key").inner_text()
    assert key_text.is_whole(text)
    page.wait_for_load_state()
    look(watched, f"{name}-made", script=script)
    copy = page.get_by_role("button", name="Copy the key")
    expect(copy).to_be_visible(visible=script)
    if script:
        copy.click()
        page.wait_for_function("document.getElementById('copied').textContent !== ''")
    if "permissions" in options:
        watched.becomes(lambda: page.evaluate("navigator.clipboard.readText()"), text)
    assert asked(site, text) == 200

    watched.open("/admin/keys")
    assert text not in page.content()
    look(watched, f"{name}-list", script=script)
    page.get_by_role("link", name=f"Revoke {called}").click()
    page.wait_for_url("**/revoke")
    look(watched, f"{name}-ask", script=script)
    page.get_by_role("button", name="Revoke the key").click()
    page.get_by_text(f"The key {called} was revoked.").wait_for()
    watched.becomes(lambda: asked(site, text), 401)  # each process looks for revoked keys once a second
    assert watched.faults == []
    page.context.close()
