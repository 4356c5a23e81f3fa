"""``GET /metrics``: what Prometheus reads."""

from __future__ import annotations

from flask import Blueprint, Response, request

from screening.accounts.key_refusals import NoKey, no_key
from screening.monitoring import findings, stream_lag
from screening.monitoring.exposition import CONTENT_TYPE, exposition
from screening.web.http import api_keys
from screening.web.http.operations import AnswerSpec, Operation, describes
from screening.web.http.proxies import TrustedProxies
from screening.web.services import services

blueprint = Blueprint("metrics", __name__)


MEDIA, _, _ = CONTENT_TYPE.partition(";")
METRICS = Operation(
    id="getMetrics",
    tag="Health",
    answers={200: AnswerSpec(words="Metrics in the text format of Prometheus.", media=MEDIA)},
    raises=(NoKey,),
    open_here=True,
)


@blueprint.get("/metrics")
@describes(METRICS)
def metrics() -> Response:
    """Read the metrics for Prometheus.

    Who asks on the server's own machine, past any proxy, needs no key.
    # keys that open nothing are refused before, as for every address
    """
    if api_keys.caller() is None and not TrustedProxies.is_loopback(request.environ):
        raise no_key()
    mine = services()
    text = exposition(
        mine.requests,
        mine.ledger.tables,
        list(mine.detectors.names()),
        findings.read(mine.database),
        streams=stream_lag.metrics(mine.database),
        storage=mine.ledger.storage,
    )
    return Response(text, content_type=CONTENT_TYPE)


metrics.scope = "metrics"  # type: ignore[attr-defined]
