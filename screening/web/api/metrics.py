"""``GET /metrics``: what Prometheus reads."""

from __future__ import annotations

from flask import Blueprint, Response, request

from screening.accounts.key_refusals import no_key
from screening.monitoring.exposition import CONTENT_TYPE, exposition
from screening.web.http import api_keys
from screening.web.http.proxies import TrustedProxies
from screening.web.services import services

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Return all metrics, to a key with the scope ``metrics`` or to this machine itself.

    Raises:
        Refusal: 401; neither was it sent from here nor with a key. Keys are refused before, as for every address.
    """
    if api_keys.caller() is None and not TrustedProxies.is_loopback(request.environ):
        raise no_key()
    mine = services()
    text = exposition(mine.requests, mine.ledger.tables, list(mine.detectors.names()))
    return Response(text, content_type=CONTENT_TYPE)


metrics.scope = "metrics"  # type: ignore[attr-defined]
