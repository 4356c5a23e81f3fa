"""Refusals of a request with an API key, or without one: each with its status and headers (RFC 6750, RFC 9110)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from screening.errors import ScreeningError

REALM = 'Bearer realm="fraud-screening"'


class Refusal(ScreeningError):
    """A request that is not let in. It is returned by the key ring, and raised by who serves with Flask."""

    status = 401
    title = "This API key isn't accepted"
    challenge: ClassVar[str] = f'{REALM}, error="invalid_token"'
    reason: ClassVar[str] = "unknown"
    """In one word, for the audit log."""
    key_id: str | None = None
    key_name: str | None = None
    owner: str | None = None

    def of(self, key_id: str, key_name: str | None = None, owner: str | None = None) -> Refusal:
        """Note whose request it was; returns the refusal itself."""
        self.key_id, self.key_name, self.owner = key_id, key_name, owner
        return self

    def headers(self) -> dict[str, str]:
        """Return ``WWW-Authenticate``."""
        return {"WWW-Authenticate": self.challenge}


class NoKey(Refusal):
    """The request has no key, and nobody is logged in."""

    title = "Log in, or send an API key"
    challenge = REALM
    reason = "none"


def no_key() -> NoKey:
    """Return the refusal of a request without a key and without a session."""
    return NoKey(
        "This address wants an API key or a session, and there is neither.",
        remedy="Send the header “Authorization: Bearer fsk_…” (administrators make keys), or log in.",
    )


class DamagedKey(Refusal):
    """The text that was sent can't be a key of ours: signs are missing or wrong."""

    reason = "damaged"


class UnknownKey(Refusal):
    """A key of the right form that isn't known here."""


class RevokedKey(Refusal):
    """The key was revoked."""

    reason = "revoked"


class ExpiredKey(Refusal):
    """The key's time is over."""

    reason = "expired"


class OwnerClosed(Refusal):
    """The key's owner is disabled or gone."""

    reason = "owner closed"


class KeyInUrl(Refusal):
    """A key appears in the address, where proxies and browsers write it down."""

    title = "An API key doesn't belong in the address"
    reason = "in the address"


class ScopeMissing(Refusal):
    """The key, or its owner's role, doesn't allow this."""

    status = 403
    title = "The API key doesn't allow this"
    reason = "scope"
    scope: str = ""

    def headers(self) -> dict[str, str]:
        """Return ``WWW-Authenticate`` with the scope that is wanted."""
        return {"WWW-Authenticate": f'{REALM}, error="insufficient_scope", scope="{self.scope}"'}

    def as_dict(self) -> dict[str, Any]:
        """Return the problem, with the scope as a field of its own."""
        return {**super().as_dict(), "scope": self.scope}


class NotByKey(Refusal):
    """The address is for people: keys aren't taken there."""

    status = 403
    title = "API keys aren't accepted at this address"
    reason = "not by key"

    def headers(self) -> dict[str, str]:
        """Return nothing: another key would not help."""
        return {}


class Throttled(Refusal):
    """The key sent more requests than it may."""

    status = 429
    title = "Too many requests"
    reason = "throttled"
    wait: float = 1.0
    """Seconds until the next request is let in."""

    def headers(self) -> dict[str, str]:
        """Return ``Retry-After`` in whole seconds."""
        return {"Retry-After": str(max(1, math.ceil(self.wait)))}


class KeysUnavailable(Refusal):
    """Keys can't be checked at the moment, and nothing is let in unchecked."""

    status = 503
    title = "Not ready"
    reason = "unavailable"

    def headers(self) -> dict[str, str]:
        """Return ``Retry-After``."""
        return {"Retry-After": "1"}
