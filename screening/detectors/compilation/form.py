"""The compiled form of a net: a flatbuffer for each call size, golden rows, and a meta file that binds them to the net.

In the cache it is a folder. Beside a shipped net, ``model.h5``, it is one archive, ``model.compiled.tar.xz``: the
flatbuffers hold the same weights, so that together they take hardly more than one of them.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from screening.detectors.runtime import CompiledNet, Rows, Scorer

# Version of the compiler and of the form that it writes. Change it, and every form of another version is made
# again.
COMPILER_VERSION = 4
# Rows per call, each with a flatbuffer of fixed shape, so that nothing is allocated when rows come.
SIZES = (1, 16, 128)
META = "meta.json"
GOLDEN = "golden.npy"
FILES = (*(f"net-{size}.tflite" for size in SIZES), GOLDEN)
"""The files that the meta file has hashes of."""
# Bytes of an unpacked archive, far above any real one, so that a damaged archive doesn't fill the memory.
MAX_BYTES = 256 * 2**20


class BadCompiledForm(Exception):
    """A compiled form that can't be used; the text says why. The net is compiled again."""


@dataclass(frozen=True, slots=True, eq=False)
class GoldenRows:
    """Inputs of a net, (n, inputs), the probabilities that Keras gave, and how far others may be from them, (n,)."""

    rows: Rows
    probabilities: NDArray[np.float32]
    tolerance: NDArray[np.float32]

    def packed(self) -> bytes:
        """Return them as the bytes of one .npy file, (n, 2 + inputs)."""
        file = io.BytesIO()
        columns = np.column_stack([self.probabilities, self.tolerance, self.rows])
        np.save(file, columns.astype(np.float32), allow_pickle=False)
        return file.getvalue()

    @classmethod
    def unpacked(cls, data: bytes) -> GoldenRows:
        """Read what :meth:`packed` wrote.

        Raises:
            ValueError: it is something else, or holds no row.
        """
        columns = np.load(io.BytesIO(data), allow_pickle=False)
        if columns.dtype != np.float32 or columns.ndim != 2 or not len(columns):
            raise ValueError("these are no golden rows")
        return cls(np.ascontiguousarray(columns[:, 2:]), columns[:, 0], columns[:, 1])


@dataclass(frozen=True, slots=True)
class CompiledForm:
    """A compiled net whose bytes are those that the compiler wrote; its golden rows weren't run yet."""

    net: CompiledNet
    golden: GoldenRows

    def disagreement(self) -> str | None:
        """Run the golden rows through every flatbuffer in the runtime of this process.

        Returns:
            What differs from Keras' probabilities, or ``None``. The interpreters are freed again: later calls may
            come from other threads and may need one size only.
        """
        scorer = Scorer(self.net)
        for size in SIZES:
            try:
                found = scorer.through(size, self.golden.rows)
            except (ValueError, RuntimeError) as problem:  # LiteRT's, for a flatbuffer that it can't run
                return f"the runtime can't run it, {size} rows a call: {' '.join(str(problem).split())[:200]}"
            apart = np.abs(found.astype(np.float64) - self.golden.probabilities)
            if not (apart <= self.golden.tolerance).all():
                worst = float(np.max(np.nan_to_num(apart, nan=np.inf)))
                return f"its probabilities are up to {worst:.2g} from those of Keras, {size} rows a call"
        return None


def shipped_file(net: Path) -> Path:
    """Return the place of the compiled form that is shipped beside a net."""
    return net.with_suffix(".compiled.tar.xz")


def meta_of(net_sha256: str, inputs: int, files: Mapping[str, bytes]) -> dict[str, object]:
    """Return the meta file's content for the files of a form."""
    return {
        "compiler": COMPILER_VERSION,
        "net": net_sha256,
        "inputs": inputs,
        "sha256": {name: hashlib.sha256(files[name]).hexdigest() for name in FILES},
    }


def open_form(files: Mapping[str, bytes], net_sha256: str) -> CompiledForm:
    """Compare the files with their hashes and the form with its net.

    Raises:
        BadForm: a file is missing or was changed, or it is the form of another net or of another compiler.
    """
    try:
        meta = json.loads(files[META])
        if meta["compiler"] != COMPILER_VERSION:
            raise BadCompiledForm("another version of the compiler made it")
        if meta["net"] != net_sha256:
            raise BadCompiledForm(
                f"it was made of another net, whose SHA-256 begins with {str(meta['net'])[:12]}"
            )
        for name in FILES:
            if hashlib.sha256(files[name]).hexdigest() != meta["sha256"][name]:
                raise BadCompiledForm(f"{name} isn't the file that {META} describes")
        golden = GoldenRows.unpacked(files[GOLDEN])
        if golden.rows.shape[1] != meta["inputs"]:
            raise BadCompiledForm(f"{META} and {GOLDEN} differ in the number of inputs")
    except KeyError as missing:
        raise BadCompiledForm(f"{missing.args[0]} is missing") from None
    except (ValueError, TypeError, RecursionError):
        raise BadCompiledForm(f"{META} or {GOLDEN} is damaged") from None
    net = CompiledNet({size: files[f"net-{size}.tflite"] for size in SIZES}, golden.rows.shape[1])
    return CompiledForm(net, golden)


def read_folder(folder: Path) -> dict[str, bytes]:
    """Read the files of a form in the cache; those that aren't there are left out.

    Raises:
        OSError: one can't be read.
    """
    return {name: (folder / name).read_bytes() for name in (META, *FILES) if (folder / name).is_file()}


def pack(files: Mapping[str, bytes]) -> bytes:
    """Return an archive of a form; the same files give the same bytes."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in (META, *FILES):
            member = tarfile.TarInfo(name)
            member.size = len(files[name])
            tar.addfile(member, io.BytesIO(files[name]))
    return lzma.compress(archive.getvalue(), check=lzma.CHECK_SHA256, preset=6 | lzma.PRESET_EXTREME)


def unpack(data: bytes) -> dict[str, bytes]:
    """Return the files of an archive.

    Raises:
        BadForm: it is no such archive, or was changed.
    """
    try:
        plain = lzma.LZMADecompressor(format=lzma.FORMAT_XZ)
        content = plain.decompress(data, MAX_BYTES)
        if not plain.eof or plain.unused_data:
            raise BadCompiledForm("the archive is cut or too long")
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            members = [member for member in tar if member.isfile()]
            return {member.name: tar.extractfile(member).read() for member in members}  # type: ignore[union-attr]
    except (lzma.LZMAError, tarfile.TarError, ValueError, EOFError):
        raise BadCompiledForm("the archive is damaged") from None
