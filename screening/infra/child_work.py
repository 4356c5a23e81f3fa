"""Work that is a process of its own: started with arguments, heard while it works, ended when nobody wants it.

The process writes one JSON object a line: ``{"progress": 0.5, "stage": "…"}`` as often as it likes, and at its end
``{"done": {…}}`` or ``{"error": {…}}``.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from screening.settings import ROOT

STOP_SECONDS = 6.0
MOST_STAGE = 200
LOG_TAIL = 4000


# not an error of the work: the machine ended the process
class Killed(Exception):
    """The process was ended from outside, as happens when the memory runs out."""


class ChildWork:
    """One piece of work. A context manager: the process is gone when it is left."""

    def __init__(
        self, module: str, arguments: Sequence[str], *, errors: Path, environment: Mapping[str, str]
    ) -> None:
        """Start it.

        Args:
            module: what is run, by :mod:`screening.infra.child_process`.
            arguments: its arguments.
            errors: the file that gets its standard error.
            environment: all variables that it has.
        """
        self._errors = errors
        self._said: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.answer: dict[str, Any] = {}
        """The last line: ``done`` or ``error``; empty as long as there is none."""
        with errors.open("wb") as stream:
            self._process = subprocess.Popen(  # noqa: S603 -- this interpreter, and a module of ours
                [sys.executable, "-m", "screening.infra.child_process", module, *arguments],
                cwd=ROOT,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                # its own children end with it, and Ctrl-C is the parent's business
                start_new_session=True,
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
        """Return whether more may come."""
        return self._reader.is_alive() or not self._said.empty()

    def hear(self, seconds: float) -> dict[str, Any]:
        """Return the latest ``progress`` (0..1) and ``stage``; waits for news at most so long, empty without any."""
        found: dict[str, Any] = {}
        try:
            found |= self._said.get(timeout=seconds)
            while True:
                found |= self._said.get_nowait()
        except queue.Empty:
            return found

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
                self.answer = found
            elif isinstance(found.get("progress"), int | float):
                stage = str(found.get("stage", ""))[:MOST_STAGE]
                self._said.put({"progress": min(max(float(found["progress"]), 0.0), 0.99), "stage": stage})

    def last_words(self) -> str:
        """Return the end of what it wrote to its standard error."""
        try:
            return self._errors.read_bytes()[-LOG_TAIL:].decode("utf-8", "replace")
        except OSError:
            return ""


def _message(line: bytes) -> dict[str, Any]:
    """Read one line of its output; what isn't a JSON object (a library's chatter) says nothing."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
