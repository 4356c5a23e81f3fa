"""Navigation of the site: the sections of the rail, and the pages of each. What a role may not open isn't there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import current_app, request


@dataclass(frozen=True, slots=True)
class PageLink:
    """A page by its endpoint, the word for it, and the permission that it takes, if any."""

    endpoint: str
    word: str
    permission: str | None = None
    rooms: Sequence[str] = ()
    """Endpoints, and blueprints, whose pages lie below this one; its own blueprint isn't among them."""
    setting: str | None = None
    """The setting that must be on for it to be there."""


@dataclass(frozen=True, slots=True)
class Section:
    """One place of the rail: its word, its shape, and its pages, the first of which it leads to."""

    word: str
    icon: str
    links: Sequence[PageLink]


BELOW_RESULTS = ("results", "questions", "mapping", "cards", "check", "decisions.of_file")
BELOW_TRANSACTIONS = ("explore", "entities", "decisions", "receipts", "search")
SECTIONS = (
    Section("Home", "home", (PageLink("pages.index", "Home"),)),
    Section(
        "Review",
        "review",
        (
            PageLink("review.index", "Queue", "see", ("review", "case", "decided")),
            PageLink("review.missed_fraud", "Missed fraud", "see_all"),
            PageLink("disagreeing.index", "Disagreements", "compare"),
            PageLink("threshold.index", "Threshold", "decide"),
        ),
    ),
    Section(
        "Screenings",
        "screenings",
        (
            PageLink("results.index", "List", "see", BELOW_RESULTS),
            PageLink("uploads.upload", "New", "screen", ("uploads",)),
        ),
    ),
    Section(
        "Explore",
        "explore",
        (
            PageLink("dashboard.index", "Dashboard", "see", ("dashboard",)),
            PageLink("explore.transactions", "Transactions", "see", BELOW_TRANSACTIONS),
            PageLink("flips.index", "Flips", "compare"),
        ),
    ),
    Section(
        "Rules",
        "rules",
        (
            PageLink("rules.index", "Rules", "see", ("rules",)),
            PageLink("rule_lists.index", "Lists", "see", ("rule_lists",)),
        ),
    ),
    Section(
        "Detectors",
        "detectors",
        (
            PageLink("detectors.index", "List", None, ("detectors", "pages.detector", "teaching")),
            PageLink("trainings.new", "Train", "train", ("trainings", "choosing")),
            PageLink("reviewed.index", "From reviews", "train"),
            PageLink("shadow.index", "Shadow", "decide", ("shadow",)),
            PageLink("past.index", "Shared history", "decide", ("past",)),
        ),
    ),
    Section(
        "Monitoring", "monitoring", (PageLink("monitoring.index", "Monitoring", "monitor", ("monitoring",)),)
    ),
    Section(
        "Reports",
        "reports",
        (
            PageLink("reports.index", "Period", "see", ("reports",)),
            PageLink("documents.model_risk", "Model risk", "see_all"),
            PageLink("schedules.index", "Scheduled", "see_all", ("schedules",)),
            PageLink("documents.index", "Documents", "see", ("documents",)),
        ),
    ),
    Section(
        "Oversight",
        "audit",
        (
            PageLink("audit.index", "Audit", "audit", ("audit",)),
            PageLink("approvals.index", "Approvals", "see_all", ("approvals",), "four_eyes"),
        ),
    ),
    Section(
        "Admin",
        "admin",
        (
            PageLink("admin.users", "Accounts", "manage_users", ("admin",)),
            PageLink("keys.index", "API keys", "manage_users", ("keys",)),
            PageLink("pages.status", "System status", "admin"),
            PageLink("styleguide.show", "Components", "admin"),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class ShownLink:
    """A link as a page shows it."""

    endpoint: str
    word: str
    current: bool
    """The page that is shown lies below it."""
    exact: bool
    """It is the page that is shown."""


@dataclass(frozen=True, slots=True)
class ShownSection:
    """A section as a page shows it: where it leads, and its pages that may be opened."""

    word: str
    icon: str
    endpoint: str
    places: Sequence[ShownLink]

    @property
    def current(self) -> bool:
        """Return whether the page that is shown is one of them."""
        return any(place.current for place in self.places)


def rooms() -> list[ShownSection]:
    """Return the sections of this app that whoever asks may open, with the page that is shown marked."""
    known = current_app.view_functions
    found = []
    for section in SECTIONS:
        places = [
            ShownLink(link.endpoint, link.word, _is_here(link), request.endpoint == link.endpoint)
            for link in section.links
            if link.endpoint in known
            and _may(link.permission)
            and (
                link.setting is None
                or bool(getattr(current_app.extensions["screening"].settings, link.setting))
            )
        ]
        if places:
            found.append(ShownSection(section.word, section.icon, places[0].endpoint, places))
    return found


def _is_here(link: PageLink) -> bool:
    here = request.endpoint or ""
    if here == link.endpoint:
        return True
    elsewhere = {other.endpoint for section in SECTIONS for other in section.links}
    if here in elsewhere:
        return False
    # a page that a link names itself isn't below the link that has its blueprint
    named = any(here in other.rooms for section in SECTIONS for other in section.links)
    return here in link.rooms if named else here.partition(".")[0] in link.rooms


def _may(permission: str | None) -> bool:
    may: Any = current_app.jinja_env.globals.get("may")
    return permission is None or (may is not None and bool(may(permission)))
