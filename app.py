"""The composition root: ``python app.py`` serves and screens, ``flask --app app`` is the command line.

Here the package is told whom it asks for probabilities: :func:`utils.get_probabilities`, for pages, API, command line
and worker alike.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import utils
from screening.detectors.detector import Detector
from screening.detectors.vectorizer import Inputs
from screening.errors import ScreeningError
from screening.infra.lean_process import be_lean

if TYPE_CHECKING:
    from flask import Flask  # the worker does without it

    from screening.web.http.front import Front


def probabilities(inputs: Inputs, detector: Detector) -> NDArray[np.float32]:
    """Return the probability of fraud of each row, float32 (rows,).

    The function is looked up at each call: whoever replaces it replaces what everything answers.
    """
    return utils.get_probabilities(inputs, detector)


def create_app() -> Flask:
    """Return the app with settings from the environment. What is wrong with them ends the process with one line."""
    from screening.infra.watchdog import end_with_server

    # the job worker does without it
    from screening.web.app_factory import create_app as build

    end_with_server()
    try:
        return build(probabilities=probabilities)
    except ScreeningError as problem:
        sys.exit(f"fraud-screening can't start: {problem}")


def create_front() -> Front:
    """Return what each web process of the server answers with. Errors as in :func:`create_app`."""
    from screening.infra.log_setup import begin_logging

    # the job worker does without it
    from screening.web.app_factory import create_front as build

    # where processes are spawned, it is the first that is called
    be_lean()
    made = create_app()
    # not inherited where processes are spawned
    begin_logging(made.extensions["screening"].settings.log_format)
    return build(made)


def _load() -> None:
    importlib.import_module("screening.web.app_factory")


def serve() -> int:
    """Serve until told to stop, and return the exit status."""
    from screening import server  # as above
    from screening.settings import Settings

    try:
        return server.run(Settings.from_environ(), worker=(__file__, "worker"), load=_load)
    except ScreeningError as problem:
        print(f"fraud-screening can't start: {problem}", file=sys.stderr)  # noqa: T201 -- the operator reads it
        return 1


def work(arguments: list[str]) -> int:
    """Run a job worker until told to stop, and return the exit status."""
    # the web processes do without it
    from screening.worker.__main__ import main as run

    return run(arguments, probabilities)


def main(arguments: list[str]) -> int:
    """Serve, or with ``worker`` run the jobs that a server has accepted, and return the exit status."""
    if not arguments:
        return serve()
    if arguments[0] == "worker":
        return work(arguments[1:])
    print("usage: python app.py [worker [NUMBER | trainer]]", file=sys.stderr)  # noqa: T201
    return 2


if __name__ == "__main__":
    be_lean()
    sys.exit(main(sys.argv[1:]))
