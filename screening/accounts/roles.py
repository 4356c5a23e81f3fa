"""Permissions of the roles. A role is a set of permissions; pages ask for a permission, never for a role."""

from __future__ import annotations

from collections.abc import Mapping

PERMISSIONS: Mapping[str, frozenset[str]] = {
    "analyst": frozenset({"see", "compare", "screen", "review", "draft_rules"}),
    "manager": frozenset(
        {"see", "see_all", "compare", "screen", "review", "draft_rules", "decide", "monitor"}
    ),
    "auditor": frozenset({"see", "see_all", "compare", "audit"}),
    "admin": frozenset(
        {
            "see",
            "see_all",
            "compare",
            "screen",
            "review",
            "draft_rules",
            "decide",
            "monitor",
            "audit",
            "train",
            "manage_users",
            "admin",
        }
    ),
}
"""``see`` one's own screenings, ``see_all`` transactions of the ledger, ``compare`` which rows flip and where labels
disagree, of what one sees, ``screen`` files and delete screenings,
``review`` alerts, ``draft_rules`` that aren't asked of anything yet, ``decide`` on thresholds, detectors, lists and
which rules are asked, ``monitor`` how detectors and server do, read the ``audit`` log, ``train`` new detectors and
remove them, ``manage_users``. ``admin`` is the administrator's links."""


def allows(role: str, permission: str) -> bool:
    """Return whether a role has a permission. An unknown role or permission is refused."""
    return permission in PERMISSIONS.get(role, frozenset())
