"""The product's own server with one more address in Flask, which answers a constant: what Flask costs at least.

``python -m benchmarks.constant_route`` serves as ``python app.py`` does, without the job worker.
"""

from __future__ import annotations

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels

import app
from screening import server
from screening.settings import Settings
from screening.web.app_factory import create_front as build
from screening.web.http.front import Front

CONSTANT = b'{"fraud":false}'


def create_front() -> Front:
    """Return the app with the address."""
    built = app.create_app()
    built.add_url_rule("/constant", view_func=lambda: (CONSTANT, {"Content-Type": "application/json"}))
    return build(built)


def main() -> None:
    """Serve until SIGTERM."""
    settings = Settings.from_environ()
    server.prepare(settings)
    Granian(
        "benchmarks.constant_route:create_front",
        factory=True,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        workers=settings.workers,
        websockets=False,
        log_level=LogLevels.error,
    ).serve()


if __name__ == "__main__":
    main()
