"""The audit log as pages write it: who, from where and in which request are filled in here."""

from __future__ import annotations

from typing import Any

from flask import current_app, g, has_request_context, request
from flask_login import current_user

from screening.accounts.api_keys import ApiKey
from screening.infra.audit.log import AuditLog
from screening.web.http import api_keys


def record(event: str, **fields: Any) -> None:
    """Write one line to the audit log.

    Args:
        event: what happened, as ``login``, ``upload``, ``export``, ``forbidden``.
        fields: what it was about (``sha256``, ``model_sha256``, ``screening``, …). ``user`` may be given where it
            isn't the present one. Secrets and card numbers are taken out.
    """
    known: dict[str, Any] = {}
    if has_request_context():
        known = {"user": username(), "address": request.remote_addr, "request_id": g.get("request_id")}
        key = api_keys.caller()
        if key is not None:
            known |= {"key": key.key_id, "key_name": key.key_name}
    AuditLog(current_app.extensions["screening"].settings.instance).record(event, **{**known, **fields})


def username() -> str | None:
    """Return the name of the account behind this request; ``None`` for a visitor."""
    return current_user.username if current_user and current_user.is_authenticated else None


def key_fields(key: ApiKey) -> dict[str, Any]:
    """Return what the audit log says of an API key that is made or revoked. Its text isn't known here."""
    return {
        "key": key.id,
        "key_name": key.name,
        "account": key.owner,
        "scopes": list(key.scopes),
        "expires": key.expires and key.expires.isoformat(timespec="seconds"),
    }
