"""What a page looks like to a person with a screen, a phone or a screen reader, measured in the page itself."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from screening.settings import ROOT
from tests.browser.conftest import DESK, PHONE, Site, Watched, keep, new_page

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
"""axe-core, of the package alone: its own way to run it is slower, and tells less."""
ACCESSIBLE = """async (rules) => {
  const given = { resultTypes: ["violations"], preload: false, elementRef: false };
  if (rules.length) given.runOnly = { type: "rule", values: rules };
  const { violations } = await axe.run(document, given);
  return violations.flatMap((rule) => rule.nodes.map((node) =>
    `${rule.id}: ${rule.help}: ${node.target.join(" ")}: ${node.failureSummary.replace(/\\s+/g, " ")}`));
}"""
BY_WIDTH = ("target-size", "scrollable-region-focusable")
"""The rules of axe that see sizes; of the four looks at a page, two are for all rules, and one for colours alone."""
CONTRAST = (ROOT / "tests" / "browser" / "contrast.js").read_text(encoding="utf-8")
NAMED = """() => [...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a[href], summary')]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.labels?.length || one.getAttribute('aria-label') || one.innerText?.trim()
                     || one.getAttribute('aria-labelledby')))
  .map((one) => one.outerHTML)"""
WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
INLINE = """() => [...document.querySelectorAll('*')]
  .flatMap((one) => [...one.attributes].filter((a) => a.name === 'style' || a.name.startsWith('on')))
  .map((a) => a.ownerElement.outerHTML.slice(0, 100))
  .concat([...document.querySelectorAll('style, script:not([src])')].map((one) => one.outerHTML.slice(0, 100)))"""
LEVELS = "[...document.querySelectorAll('h1,h2,h3,h4')].map((one) => Number(one.tagName[1]))"
IDS = "[...document.querySelectorAll('[id]')].map((one) => one.id)"
MISSING = """[...document.querySelectorAll('[aria-labelledby], [aria-describedby]')].flatMap((one) =>
  `${one.getAttribute('aria-labelledby') ?? ''} ${one.getAttribute('aria-describedby') ?? ''}`
  .trim().split(/\\s+/)).filter((id) => !document.getElementById(id))"""
MEASURE_SHIFT = """
window.shift = 0;
new PerformanceObserver((list) => list.getEntries().forEach((one) => { window.shift += one.value; }))
  .observe({type: 'layout-shift', buffered: true});
"""
ROLES = ("banner", "main", "contentinfo", "navigation")


@dataclass(frozen=True)
class Look:
    """What was seen of a page.

    ``theme`` and ``faint`` are by colour scheme, ``barriers``, what axe-core found, by scheme and width. ``inline``,
    ``nameless``, ``faint`` and ``barriers`` hold what must not be there.
    """

    title: str
    language: str | None
    roles: dict[str, int]
    levels: list[int]
    ids: list[str]
    missing: list[str]
    nameless: list[str]
    inline: list[str]
    shift: float
    theme: dict[str, str | None]
    faint: dict[str, list[str]]
    barriers: dict[str, list[str]]
    wide: float
    wide_unfolded: float
    faults: list[str]


LITTLE = 0.02
"""So far what was drawn may move (Cumulative Layout Shift)."""
FITS_SECONDS = 3
"""So long charts may take to follow a window that became narrower."""


def _shift(chromium: Any, site: Site, state: Any, path: str) -> float:
    watched = new_page(chromium, site, storage_state=state)
    watched.page.add_init_script(MEASURE_SHIFT)
    watched.open(path)
    watched.page.wait_for_load_state("networkidle")
    found: float = watched.page.evaluate("window.shift")
    watched.page.context.close()
    return found


def _width_too_many(watched: Watched) -> float:
    """Return by how many pixels the page is wider than the window, once it fits or has had the time to."""
    deadline = time.monotonic() + FITS_SECONDS
    while (found := float(watched.page.evaluate(WIDE))) > 0 and time.monotonic() < deadline:
        watched.page.wait_for_timeout(30)
    return found


def look(chromium: Any, site: Site, state: Any, path: str, name: str) -> Look:
    """Visit a page twice in one fresh profile: for the first time, in light, and on a phone in the dark.

    What moves is measured on the first visit, when nothing is in the browser's cache. The ground of each text is
    measured on a desk, where the most is seen. ``name``: of the pictures.
    """
    watched = new_page(chromium, site, storage_state=state)
    page, name = watched.page, name.lower().strip("/").replace("/", "-") or "landing"
    page.add_init_script(MEASURE_SHIFT)
    watched.open(path)
    page.wait_for_load_state("networkidle")
    first = {
        "title": page.title(),
        "language": page.locator("html").get_attribute("lang"),
        "roles": {role: page.get_by_role(role).count() for role in ROLES},
        "levels": page.evaluate(LEVELS),
        "ids": page.evaluate(IDS),
        "missing": page.evaluate(MISSING),
        "nameless": page.evaluate(NAMED),
        "inline": page.evaluate(INLINE),
        "shift": page.evaluate("window.shift"),
    }
    if first["shift"] >= LITTLE:  # what moves, moves each time; a long page that came in pieces may not
        first["shift"] = min(first["shift"], _shift(chromium, site, state, path))
    theme, faint, barriers = {}, {}, {}

    def stand_out(scheme: str) -> None:
        theme[scheme] = page.locator("html").get_attribute("data-bs-theme")
        faint[scheme] = page.evaluate(CONTRAST)
        keep(watched, f"{name}-{scheme}")

    def find_barriers(look: str, *rules: str) -> None:
        if page.evaluate("typeof axe") == "undefined":
            page.evaluate(AXE)
        barriers[look] = page.evaluate(ACCESSIBLE, rules)

    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    stand_out("light")
    find_barriers("light, desk")
    page.set_viewport_size(PHONE)
    find_barriers("light, phone", *BY_WIDTH)
    watched.gather()
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    page.set_viewport_size(PHONE)
    watched.open(path)
    wide = _width_too_many(watched)
    page.set_viewport_size(DESK)
    stand_out("dark")
    find_barriers("dark, desk", "color-contrast")
    page.set_viewport_size(PHONE)
    find_barriers("dark, phone")
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    wide_unfolded = _width_too_many(watched)
    keep(watched, f"{name}-phone")
    watched.gather()
    page.context.close()
    return Look(
        **first,
        theme=theme,
        faint=faint,
        barriers=barriers,
        wide=wide,
        wide_unfolded=wide_unfolded,
        faults=watched.faults,
    )
