"""Reads a detector's files once and compares them with the card that ties them together."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from screening.errors import BadArtefact
from screening.transactions.schema import ColumnContract

MAX_BYTES = 256 * 2**20  # far above any net that answers in time; a wrong path doesn't fill the memory
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


def read_card(path: Path) -> dict[str, Any]:
    """Read the card of a detector: what it is made of and how good it is, as JSON.

    Raises:
        BadArtefact: it is missing or no JSON object.
    """
    artefact = read_artefact(path)
    try:
        card = json.loads(artefact.data)
    except (ValueError, RecursionError):
        card = None
    if not isinstance(card, dict):
        raise BadArtefact(f"{path.name} is damaged: it holds no JSON object.", where=str(path))
    return card


def check_hashes(card: dict[str, Any], model: Artefact, vectorizer: Artefact) -> None:
    """Compare both files with the hashes of the card, before either is opened.

    Raises:
        BadArtefact: a file isn't the one that the card describes; one flipped bit is enough.
    """
    for artefact, key in ((model, "model_sha256"), (vectorizer, "vectorizer_sha256")):
        if card.get(key) != artefact.sha256:
            raise BadArtefact(
                f"{artefact.path.name} isn't the file that its card describes: its SHA-256 begins with "
                f"{artefact.sha256[:12]}, the card says {str(card.get(key))[:12]}.",
                where=str(artefact.path),
                remedy="Restore the model, the vectorizer and the card together from one training run.",
            )


def fingerprint(model: Artefact, vectorizer: Artefact, contract: ColumnContract) -> str:
    """SHA-256, hex, over the hashes of both files and the column contract as canonical JSON."""
    canonical = json.dumps(contract.as_dict(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256((model.sha256 + vectorizer.sha256 + canonical).encode()).hexdigest()


def check_contract(card: dict[str, Any], found: ColumnContract, expected: str, where: Path) -> None:
    """Compare the vectorizer's columns and the fingerprint with the card.

    Raises:
        BadArtefact: the columns, their order or their parts differ, or the fingerprint does.
    """
    if card.get("contract") != found.as_dict() or card.get("fingerprint") != expected:
        raise BadArtefact(
            "The card and the vectorizer don't belong together: their columns or fingerprints differ.",
            where=str(where),
            remedy="Restore the model, the vectorizer and the card together from one training run.",
        )
