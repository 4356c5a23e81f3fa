"""The administrator's page of API keys: make one, see all, revoke."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for

from screening.accounts.api_keys import (
    DEFAULT_BURST,
    DEFAULT_DAYS,
    DEFAULT_PER_MINUTE,
    MOST_BURST,
    MOST_PER_MINUTE,
    SCOPES,
    ApiKey,
    BadKeyRequest,
    may_have,
)
from screening.accounts.users_text import Account
from screening.errors import NotReady, ScreeningError, StorageFull
from screening.infra.audit.log import mask_keys
from screening.web.http import request_audit
from screening.web.http.sessions import require, user
from screening.web.services import services

blueprint = Blueprint("keys", __name__, url_prefix="/admin/keys")
NEVER = "never"
PERIODS = {"30": "30 days", "90": "90 days", str(DEFAULT_DAYS): "1 year", NEVER: "never"}


@dataclass(frozen=True, slots=True)
class KeyView:
    """A key as the list shows it."""

    key: ApiKey
    state: str
    withheld: tuple[str, ...]
    """Scopes that the owner's present role doesn't allow."""


@blueprint.get("")
@require("manage_users")
def index() -> str:
    """Show all keys, and the form for another."""
    return _page()


@blueprint.post("")
@require("manage_users")
def create() -> Any:
    """Make a key and show it, this once."""
    form = request.form
    try:
        key, text = services().keys.create(
            form.get("name", ""),
            form.get("owner", ""),
            form.getlist("scopes"),
            by=user().username,
            days=_days(form.get("days", "")),
            per_minute=whole_number("per_minute", DEFAULT_PER_MINUTE),
            burst=whole_number("burst", DEFAULT_BURST),
        )
    except (NotReady, StorageFull):
        raise
    except ScreeningError as problem:
        return _page(error=problem), problem.status
    request_audit.record("key_created", **request_audit.key_fields(key))
    return _page(made=key, text=text), HTTPStatus.CREATED


@blueprint.get("/<key_id>/revoke")
@require("manage_users")
def ask(key_id: str) -> str:
    """Ask whether a key is to be revoked."""
    key = services().keys.get(key_id)
    return render_template("api_key_revoke.html", view=_view(key))


@blueprint.post("/<key_id>/revoke")
@require("manage_users")
def revoke(key_id: str) -> Any:
    """End a key; it opens nothing within a second."""
    key, now = services().keys.revoke(key_id, by=user().username)
    if now:
        request_audit.record("key_revoked", **request_audit.key_fields(key))
        flash(f"The key {key.name} was revoked.")
    else:
        flash(f"The key {key.name} had been revoked before.")
    return redirect(url_for("keys.index"), HTTPStatus.SEE_OTHER)


def _page(error: ScreeningError | None = None, made: ApiKey | None = None, text: str = "") -> str:
    owners = [account for account in services().users.accounts() if account.active]
    views = [_view(key) for key in services().keys.all()]
    return render_template(
        "api_keys.html",
        views=[view for view in views if view.key.revoked is None],
        revoked=[view for view in views if view.key.revoked is not None],
        owners=owners,
        scopes=SCOPES,
        roles_of={scope: _roles(scope, owners) for scope in SCOPES},
        periods=PERIODS,
        most_per_minute=MOST_PER_MINUTE,
        most_burst=MOST_BURST,
        form=form_values(error),
        error=error,
        made=made,
        text=text,
    )


def _view(key: ApiKey) -> KeyView:
    owner = services().users.get(key.owner)
    return KeyView(key, key.state(owner), tuple(key.withheld(owner)) if owner else ())


def _roles(scope: str, owners: list[Account]) -> str:
    """Return the roles among the owners that allow a scope, in words, or nothing where all do."""
    roles = sorted({owner.role for owner in owners})
    allowed = [role for role in roles if may_have(scope, role)]
    if allowed == roles:
        return ""
    return " or ".join(filter(None, (", ".join(allowed[:-1]), *allowed[-1:])))


def form_values(error: ScreeningError | None) -> dict[str, Any]:
    """Return the values of the form: after a refusal what was sent, otherwise what suits most."""
    if error is None:
        return {
            "name": "",
            "owner": user().username,
            "scopes": ["score"],
            "days": str(DEFAULT_DAYS),
            "per_minute": str(DEFAULT_PER_MINUTE),
            "burst": str(DEFAULT_BURST),
        }
    names = ("name", "owner", "days", "per_minute", "burst")
    sent = {name: mask_keys(request.form.get(name, "")) for name in names}
    return {**sent, "scopes": request.form.getlist("scopes")}


def _days(given: str) -> int | None:
    if given == NEVER:
        return None
    if given not in PERIODS:
        raise BadKeyRequest(
            "The form doesn't say when the key expires.", where="days", remedy="Choose one of the periods."
        )
    return int(given)


def whole_number(name: str, default: int) -> int:
    """Return a whole number of the form; an empty field is the default. 0 stands for what is none, and is refused."""
    given = request.form.get(name, "").strip()
    if not given:
        return default
    return int(given) if given.isascii() and given.isdigit() and len(given) < 12 else 0
