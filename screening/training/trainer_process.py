"""The workshop as a process of its own: started with an order, heard while it works, ended when nobody wants it."""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from screening.errors import NotReady, ScreeningError
from screening.settings import ROOT
from screening.training.trainings import TrainingFolder

log = logging.getLogger(__name__)
WORKSHOP = "model.trainer"
SECRETS = ("SECRET_KEY", "DATABASE_URL")
"""What a process that reads other people's files needn't know."""
STOP_SECONDS = 6.0
MOST_STAGE = 200
LOG_TAIL = 4000
LACKING = re.compile(r"^ModuleNotFoundError: No module named '([\w.]+)'", re.MULTILINE)


class Refused(ScreeningError):
    """What the workshop says is wrong, as it said it."""

    title = "No detector can be made of this file"

    def __init__(self, found: Mapping[str, Any]) -> None:
        super().__init__(
            str(found.get("what") or "The training failed."), found.get("where"), found.get("remedy")
        )
        self._found = dict(found)

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), **self._found, "title": self.title}


class Killed(Exception):  # not an error of the file: the machine ended the process
    """The process was ended from outside, as happens when the memory runs out."""


class Workshop:
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
        self._said: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._answer: dict[str, Any] = {}
        with folder.log.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603 -- this interpreter, and a module of ours
                [sys.executable, "-m", "screening.infra.child_process", module, str(folder.order)],
                cwd=ROOT,
                env=_environment(folder.scratch),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # its own children end with it, and Ctrl-C is the parent's business
            )
        self._reader = threading.Thread(target=self._listen, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def working(self) -> bool:
        """Whether more may come."""
        return self._reader.is_alive() or not self._said.empty()

    def hear(self, seconds: float) -> dict[str, Any]:
        """The latest ``progress`` (0..1) and ``stage``; waits for news at most so long, empty without any."""
        found: dict[str, Any] = {}
        try:
            found |= self._said.get(timeout=seconds)
            while True:
                found |= self._said.get_nowait()
        except queue.Empty:
            return found

    def result(self) -> dict[str, Any]:
        """What was made: ``name`` and ``metrics``. The new detector lies in ``folder.made``.

        Raises:
            Refused: no detector can be made of this file.
            Killed: the process was ended from outside.
            NotReady: a library that training needs isn't installed.
            ScreeningError: it failed; the log tells why.
        """
        status = self.end(wait=STOP_SECONDS)
        if "error" in self._answer:
            raise Refused(self._answer["error"])
        if status == 0 and "done" in self._answer and self._folder.made.is_dir():
            return dict(self._answer["done"])
        words = self._last_words()
        log.error("the workshop ended with status %s: %s", status, words)
        if status < 0:
            raise Killed
        if lacking := LACKING.search(words):
            raise NotReady(
                f"Training needs {lacking[1]}, which isn't installed here.",
                remedy="Let the operator install requirements/train.txt (make .venv/.train) and try again.",
            )
        raise ScreeningError(
            "Something went wrong here while the detector was made; the file isn't to blame as far as is known.",
            remedy="Try once more. If it happens again, tell the operator to look at the log.",
        )

    def end(self, wait: float = 0.0) -> int:
        """Make sure that it is gone; gives its exit status. ``wait``: seconds for it to end by itself."""
        try:
            status = self._process.wait(wait)
        except subprocess.TimeoutExpired:
            status = self._stop()
        self._reader.join(STOP_SECONDS)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        return status

    def _stop(self) -> int:
        """Ask it to go, with all that it began; then make it."""
        self._signal("SIGTERM")
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal("SIGKILL")
            return self._process.wait()

    def _signal(self, name: str) -> None:
        try:
            if sys.platform == "win32":
                self._process.terminate()
            else:
                os.killpg(self._process.pid, getattr(signal, name))
        except ProcessLookupError:  # it went by itself in this moment
            pass

    def _listen(self) -> None:
        if self._process.stdout is None:
            return
        for line in self._process.stdout:
            found = _message(line)
            if "done" in found or "error" in found:
                self._answer = found
            elif isinstance(found.get("progress"), int | float):
                stage = str(found.get("stage", ""))[:MOST_STAGE]
                self._said.put({"progress": min(max(float(found["progress"]), 0.0), 0.99), "stage": stage})

    def _last_words(self) -> str:
        try:
            return self._folder.log.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace")
        except OSError:
            return ""


def _message(line: bytes) -> dict[str, Any]:
    """One line of its output; what isn't a JSON object (a library's chatter) says nothing."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _environment(scratch: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in SECRETS}
    return {**kept, "TMPDIR": str(scratch), "TEMP": str(scratch), "PYTHONUNBUFFERED": "1"}
