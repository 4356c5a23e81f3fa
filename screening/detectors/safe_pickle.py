"""Opens a joblib dump without running any of it.

Unpickling calls whatever the file names, so a file may name only what a scaler is made of. scikit-learn's
scaler and joblib's array wrapper are read into plain records here: neither library is imported, and neither's
code sees the file. The layout of array data (a wrapper, a byte that tells the padding, the padding, the
numbers) is that of joblib >= 0.10.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any, ClassVar

import numpy as np

from screening.errors import BadArtefact

# how pickles begin (protocol 2 and later); compressed dumps begin otherwise
PLAIN_DUMP = b"\x80"


class ScalerRecord:
    """The state of a pickled ``RobustScaler``: its attributes as they were written, and no behaviour."""


class _ArrayRecord:
    """The state of a ``joblib.numpy_pickle.NumpyArrayWrapper``; the numbers follow it in the file."""

    shape: tuple[int, ...]
    order: str
    dtype: np.dtype[Any]
    numpy_array_alignment_bytes: int | None = None  # absent before joblib 1.2

    def read(self, source: io.BytesIO) -> Any:
        # a nested pickle, as the names of the columns: held to the same rules
        if self.dtype.hasobject:
            return _Restricted(source).load()
        if self.numpy_array_alignment_bytes is not None:
            source.read(source.read(1)[0])
        count = math.prod(self.shape)
        data = source.read(count * self.dtype.itemsize)
        flat = np.frombuffer(data, dtype=self.dtype, count=count)
        return flat.reshape(self.shape, order="F" if self.order == "F" else "C").copy()


_RECONSTRUCT = np.zeros(1).__reduce__()[0]
_SCALAR = np.float64(0).__reduce__()[0]
_BUFFER = np.zeros(1).__reduce_ex__(5)[0]


def _encode(text: str, coding: str = "latin1") -> bytes:
    """Encode bytes as protocol 2 does; older joblib writes names of columns so."""
    if coding != "latin1":
        raise pickle.UnpicklingError("bytes in an unknown coding")
    return text.encode("latin1")


ALLOWED: dict[tuple[str, str], Any] = {
    ("sklearn.preprocessing._data", "RobustScaler"): ScalerRecord,
    ("sklearn.preprocessing.data", "RobustScaler"): ScalerRecord,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _ArrayRecord,
    ("collections", "OrderedDict"): dict,
    ("builtins", "dict"): dict,
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{("numpy", name): getattr(np, name) for name in ("float64", "float32", "int64", "int32")},
    **{(f"{core}.multiarray", "_reconstruct"): _RECONSTRUCT for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.multiarray", "scalar"): _SCALAR for core in ("numpy.core", "numpy._core")},
    **{(f"{core}.numeric", "_frombuffer"): _BUFFER for core in ("numpy.core", "numpy._core")},
}
"""All that a file may name, and what is used for it."""

_STATEFUL = (ScalerRecord, _ArrayRecord, np.ndarray, np.dtype)


# the one in Python: the one in C can't be told to watch BUILD
_Base: Any = vars(pickle)["_Unpickler"]


class _Restricted(_Base):  # type: ignore[misc]
    dispatch: ClassVar[dict[int, Any]] = dict(_Base.dispatch)

    def __init__(self, source: io.BytesIO) -> None:
        super().__init__(source)
        self._source = source

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise _ForbiddenError(f"{module}.{name}")
        return ALLOWED[module, name]

    def load_build(self) -> None:
        # BUILD sets attributes of whatever is on the stack, a function of the table above too
        if not isinstance(self.stack[-2], _STATEFUL):
            raise pickle.UnpicklingError("state for something that has none")
        super().load_build()
        if isinstance(self.stack[-1], _ArrayRecord):
            # joblib writes an array's numbers right behind its record
            self.stack.append(self.stack.pop().read(self._source))

    # the unpickler calls what this table has, not the method of that name
    dispatch[pickle.BUILD[0]] = load_build


class _ForbiddenError(Exception):
    pass


def open_dump(data: bytes, name: str) -> Any:
    """Return the content of a plain (not compressed) joblib dump: dicts, lists, numbers, text, arrays and
    :class:`ScalerRecord`.

    Raises:
        BadArtefact: it is compressed, damaged, or names anything outside :data:`ALLOWED`; nothing was
            executed.
    """
    if not data.startswith(PLAIN_DUMP):
        raise BadArtefact(
            f"{name} isn't a plain joblib dump (a compressed one isn't opened either).",
            remedy="Write it with joblib.dump(..., compress=0).",
        )
    try:
        return _Restricted(io.BytesIO(data)).load()
    except _ForbiddenError as forbidden:
        raise BadArtefact(
            f"{name} is unsafe: it asks for {forbidden}, which no vectorizer needs. Nothing of it was run.",
            remedy="Use a vectorizer of your own training; don't open this file with joblib or pickle.",
        ) from None
    except Exception as problem:  # noqa: BLE001  a damaged pickle fails in any way whatever
        raise BadArtefact(f"{name} is damaged or cut off ({type(problem).__name__}).") from None
