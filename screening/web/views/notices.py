"""Tell people, and the operator's webhook, what somebody has just done."""

from __future__ import annotations

from flask import url_for

from screening.accounts.notifications import MOST_COUNTED
from screening.monitoring.alerts import keep_message
from screening.web.http.sessions import user
from screening.web.services import services


def tell(kind: str, words: str, path: str, *, to: str | None = None, permission: str | None = None) -> None:
    """Notify one person, or all who have a permission; whoever did it isn't told.

    What all with a permission are told goes to the webhook, too: its type is the kind.
    """
    mine, me = services(), user().username
    mine.notifications.tell(kind, words, path, to=to, permission=permission, by=me)
    if permission is not None and mine.settings.webhook_url is not None:
        keep_message(mine.database, kind, {"text": words, "path": path, "by": me})


def unread() -> str:
    """Return how many notifications whoever asks hasn't read, as the bell shows it; blank for none."""
    found = services().notifications.unread(user().username, user().role)
    return f"{MOST_COUNTED}+" if found >= MOST_COUNTED else str(found or "")


def escalated(number: int) -> None:
    """Tell those who decide that a case was escalated."""
    path = url_for("case.show", number=number)
    tell("case.escalated", f"{user().username} escalated case {number}.", path, permission="decide")
