"""Reads a detector's files once, and hashes them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from screening.errors import BadArtefact
from screening.transactions.schema import ColumnContract

# far above any net that answers in time; a wrong path doesn't fill the memory
MAX_BYTES = 256 * 2**20
TRAINED_ON = "past.npz"
"""In the folder of a detector that was trained here: the last rows that it was trained on."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """The bytes of one file, read once: what was hashed is what is used, even if the file changes."""

    path: Path
    data: bytes
    sha256: str


def read_artefact(path: Path) -> Artefact:
    """Read a model or vectorizer file and hash it.

    Raises:
        BadArtefact: it is missing, empty, too large or can't be read.
    """
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= MAX_BYTES else b""
    except OSError as problem:
        reason = (
            "is missing" if isinstance(problem, FileNotFoundError) else f"can't be read: {problem.strerror}"
        )
        raise BadArtefact(
            f"{path.name} {reason}.", where=str(path), remedy="Put the file back in its place."
        ) from None
    if not data:
        raise BadArtefact(f"{path.name} is {'empty' if not size else 'too large'}.", where=str(path))
    return Artefact(path, data, hashlib.sha256(data).hexdigest())


def fingerprint(model: Artefact, vectorizer: Artefact, contract: ColumnContract) -> str:
    """Return SHA-256, hex, over the hashes of both files and the column contract as canonical JSON."""
    canonical = json.dumps(contract.as_dict(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256((model.sha256 + vectorizer.sha256 + canonical).encode()).hexdigest()
