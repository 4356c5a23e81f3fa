"""The composition root: ``python app.py`` serves and screens, ``flask --app app`` is the command line."""

from __future__ import annotations

import sys

from flask import Flask

from screening.errors import ScreeningError


def create_app() -> Flask:
    """The app with settings from the environment. What is wrong with them ends the process with one line."""
    from screening.infra.watchdog import end_with_server
    from screening.web.app_factory import create_app as build  # the server's parent process stays small

    end_with_server()
    try:
        return build()
    except ScreeningError as problem:
        sys.exit(f"fraud-screening can't start: {problem}")


def main() -> int:
    """Serve until told to stop. Returns the exit status."""
    from screening import server  # as above
    from screening.settings import Settings

    try:
        return server.run(Settings.from_environ())
    except ScreeningError as problem:
        print(f"fraud-screening can't start: {problem}", file=sys.stderr)  # noqa: T201 -- the operator reads it
        return 1


if __name__ == "__main__":
    sys.exit(main())
