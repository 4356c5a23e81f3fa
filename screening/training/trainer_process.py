"""The workshop, where detectors are made, as a process of its own: see :mod:`screening.infra.child_work`."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from typing import Any

from screening.detectors.training_parts import ELSEWHERE, lacking
from screening.errors import NotReady, ScreeningError
from screening.infra.child_work import STOP_SECONDS, ChildWork, Killed
from screening.training.trainings import TrainingFolder

log = logging.getLogger(__name__)
WORKSHOP = "model.trainer"
# Kept from the process that reads other people's files: it needs no secrets.
SECRETS = ("SECRET_KEY", "DATABASE_URL")
LACKING = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'", re.MULTILINE)


def require_training_parts() -> None:
    """See that a training can run here.

    Raises:
        NotReady: packages that it needs aren't installed.
    """
    if missing := lacking():
        raise NotReady(
            f"Training needs {', '.join(missing)}, which this installation doesn't have: it serves only.",
            remedy=f"Run the command {ELSEWHERE}.",
        )


class TrainingRefused(ScreeningError):
    """Error that the workshop reported, as it reported it."""

    title = "No detector can be made of this file"

    def __init__(self, found: Mapping[str, Any]) -> None:
        super().__init__(
            str(found.get("what") or "The training failed."), found.get("where"), found.get("remedy")
        )
        self._found = dict(found)

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), **self._found, "title": self.title}


class Workshop(ChildWork):
    """One training at work. A context manager: the process is gone when it is left."""

    def __init__(self, folder: TrainingFolder, order: Mapping[str, Any], module: str = WORKSHOP) -> None:
        """Start it.

        Args:
            folder: where the order, the scratch files and the new detector go; an earlier attempt's are removed.
            order: what to make, see ``model/data/order.py``; ``out`` is set here.
            module: what is run.

        Raises:
            OSError: the order can't be written.
        """
        folder.clear()
        folder.scratch.mkdir()
        folder.order.write_text(json.dumps({**order, "out": str(folder.made)}), encoding="utf-8")
        self._folder = folder
        kept = {name: value for name, value in os.environ.items() if name not in SECRETS}
        super().__init__(
            module,
            [str(folder.order)],
            errors=folder.log,
            environment={
                **kept,
                "TMPDIR": str(folder.scratch),
                "TEMP": str(folder.scratch),
                "PYTHONUNBUFFERED": "1",
            },
        )

    def result(self) -> dict[str, Any]:
        """Return the result: ``name`` and ``metrics``. The new detector lies in ``folder.made``.

        Raises:
            Refused: no detector can be made of this file.
            Killed: the process was ended from outside.
            NotReady: a library that training needs isn't installed.
            ScreeningError: it failed; the log tells why.
        """
        status = self.end(wait=STOP_SECONDS)
        if "error" in self.answer:
            raise TrainingRefused(self.answer["error"])
        if status == 0 and "done" in self.answer and self._folder.made.is_dir():
            return dict(self.answer["done"])
        words = self.last_words()
        log.error("the workshop ended with status %s: %s", status, words)
        if status < 0:
            raise Killed
        if missing := LACKING.search(words):
            raise NotReady(
                f"Training needs {missing[1]}, which isn't installed here.",
                remedy="Let the operator install requirements.txt as it is now, and try again.",
            )
        raise ScreeningError(
            "Something went wrong here while the detector was made; the file isn't to blame as far as is known.",
            remedy="Try once more. If it happens again, tell the operator to look at the log.",
        )
