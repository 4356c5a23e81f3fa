"""Runs a compiled net: rows of scaled numbers in, probabilities out."""

from __future__ import annotations

import ctypes
import importlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
# up to so many rows single calls are quicker than one padded call of 16 (6 µs against 15 µs)
SINGLES = 2
# and up to so many the calls of 16 are quicker than one padded call of 128 (15 µs against 73 µs)
SMALL = 64


@dataclass(frozen=True, slots=True)
class CompiledNet:
    """A net that LiteRT can run: a flatbuffer for each number of rows of a call, and how many inputs."""

    flatbuffers: dict[int, bytes]
    inputs: int


class Scorer:
    """A net that scores. Safe to use from several threads: each has interpreters of its own, made when first
    needed.

    A call never changes the shape of a tensor: there is one interpreter for one row, one for 16 and one for
    128 rows (larger ones leave the processor's cache), and the last call of a batch is padded. A row's
    probability doesn't depend on its neighbours.
    """

    def __init__(self, net: CompiledNet, threads: int = 1) -> None:
        """``threads``: cores for one call; more gain nothing for small nets, batches side by side do."""
        self.inputs = net.inputs
        self._net = net
        self._threads = threads
        self._local = threading.local()

    def probabilities(self, rows: Rows) -> NDArray[np.float32]:
        """Return the net's output for ``rows`` (n, inputs), shape (n,), unchecked."""
        count = len(rows)
        if count == 1:
            return self._runner(1).run(rows)
        result = np.empty(count, np.float32)
        start = 0
        while start < count:
            runner = self._runner(self._size(count - start))
            stop = min(start + runner.size, count)
            result[start:stop] = runner.run(rows[start:stop])
            start = stop
        return result

    def through(self, size: int, rows: Rows) -> NDArray[np.float32]:
        """Return the net's output for ``rows`` through the flatbuffer of this call size only, to compare them."""
        runner = self._runner(size)
        return np.concatenate([runner.run(rows[at : at + size]) for at in range(0, len(rows), size)])

    def _size(self, left: int) -> int:
        single, small, large = sorted(self._net.flatbuffers)
        if left <= SINGLES:
            return single
        return small if left <= SMALL else large

    def _runner(self, size: int) -> _Runner:
        runners: dict[int, _Runner] = self._local.__dict__.setdefault("runners", {})
        if size not in runners:
            runners[size] = _Runner(self._net.flatbuffers[size], size, self.inputs, self._threads)
        return runners[size]


class _Runner:
    """One interpreter of a fixed number of rows."""

    def __init__(self, flatbuffer: bytes, size: int, inputs: int, threads: int) -> None:
        self.size = size
        self._interpreter = make_interpreter(flatbuffer, threads)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._padded = np.zeros((size, inputs), np.float32)

    def run(self, rows: Rows) -> NDArray[np.float32]:
        count = len(rows)
        if count < self.size:
            # the rest is left from earlier calls, which changes nothing: rows don't see each other
            self._padded[:count] = rows
            rows = self._padded
        self._interpreter.set_tensor(self._input, rows)
        self._interpreter.invoke()
        made: NDArray[np.float32] = self._interpreter.get_tensor(self._output)
        return made[:count, 0]


_ANNOUNCED = threading.Event()
_ANNOUNCING = threading.Lock()


def make_interpreter(flatbuffer: bytes, threads: int) -> Any:
    """Make an interpreter; the first one of a process without LiteRT's line about XNNPACK, which comes once."""
    runtime = import_runtime()

    def make() -> Any:
        made = runtime.Interpreter(model_content=flatbuffer, num_threads=threads)
        made.allocate_tensors()
        return made

    if _ANNOUNCED.is_set():
        return make()
    with _ANNOUNCING, c_stderr_away():
        made = make()
        _ANNOUNCED.set()
    return made


@contextmanager
def c_stderr_away() -> Iterator[None]:
    """Let what the C library's ``stderr`` gets go nowhere for a moment.

    LiteRT has no setting for its log that Python reaches, and its other set of operators, which says nothing, takes
    three to six times as long. File descriptor 2 stays as it is, so lines of Python and of the server, which don't
    go through C's ``stderr``, aren't lost meanwhile. Where C has no such variable (Windows), nothing changes.
    """
    try:
        library = ctypes.CDLL(None)
        name = "__stderrp" if hasattr(library, "__stderrp") else "stderr"
        variable = ctypes.c_void_p.in_dll(library, name)
        library.fopen.restype = ctypes.c_void_p
        nowhere = library.fopen(os.devnull.encode(), b"w")
    except (OSError, ValueError, AttributeError, TypeError):
        nowhere = None
    if not nowhere:
        yield
        return
    usual = variable.value
    # never closed: another thread may be writing to it when the old value is back
    variable.value = nowhere
    try:
        yield
    finally:
        variable.value = usual


def import_runtime() -> Any:
    """Import LiteRT; where there is no package of it (Windows), TensorFlow's own copy, larger and slower to import."""
    try:
        return importlib.import_module("ai_edge_litert.interpreter")
    except ModuleNotFoundError:
        return importlib.import_module("tensorflow.lite.python.interpreter")
