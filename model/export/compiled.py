"""Writes the compiled forms that are shipped beside nets: ``python -m model.export.compiled`` makes them all again.

The detector's card gets the form's hash: no other form counts. Training does so by itself. Without a form, or with that
of another net, the first start compiles the net.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

from model.export.model_card import write_card
from screening.detectors.artifacts import read_artefact
from screening.detectors.compilation.cache import compile_into
from screening.detectors.compilation.form import pack, read_folder, shipped_file
from screening.errors import ScreeningError
from screening.settings import ROOT


def shipped_nets() -> list[Path]:
    """Return the nets of this project that are shipped with a compiled form."""
    return [ROOT / "model.h5", *sorted((ROOT / "model" / "detectors").glob("*/model.h5"))]


def card_of(net: Path) -> Path:
    """Return the place of the card of a shipped net: beside it, or below ``model/`` for the one at the root."""
    beside = net.with_name("card.json")
    return beside if beside.is_file() else net.parent / "model" / "card.json"


def write_compiled(net: Path) -> Path:
    """Compile a net, write its form beside it and the form's hash into its card. Returns the form's file.

    Raises:
        BadArtefact: the net can't be compiled; a form that was there stays.
        OSError: the card can't be read, or the form or the card not be written.
    """
    card_file = card_of(net)
    card = json.loads(card_file.read_bytes())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "net"
        compile_into(folder, read_artefact(net))
        packed = pack(read_folder(folder))
    target = shipped_file(net)
    draft = target.with_name(f".{target.name}.part")
    try:
        draft.write_bytes(packed)
        # as a whole: who loads the detector meanwhile finds the old form or the new one
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    write_card(card_file, {**card, "compiled_sha256": hashlib.sha256(packed).hexdigest()})
    return target


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model.export.compiled", description=__doc__)
    parser.add_argument("nets", type=Path, nargs="*", help="model.h5 files (default: all that are shipped)")
    for net in parser.parse_args(arguments).nets or shipped_nets():
        try:
            target = write_compiled(net)
        except (ScreeningError, OSError) as problem:
            print(f"can't compile {net}: {problem}", file=sys.stderr)
            return 1
        print(f"{target}: {target.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
