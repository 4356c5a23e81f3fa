"""Writes the compiled forms that are shipped beside nets: ``python -m model.export.compiled`` makes them all again.

Training does so by itself. Without a form, or with that of another net, the first start compiles the net.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from screening.detectors.artifacts import read_artefact
from screening.detectors.compilation.cache import compile_into
from screening.detectors.compilation.form import pack, read_folder, shipped_file
from screening.errors import ScreeningError
from screening.settings import ROOT


def shipped_nets() -> list[Path]:
    """Return the nets of this project that are shipped with a compiled form."""
    return [ROOT / "model.h5", *sorted((ROOT / "model" / "detectors").glob("*/model.h5"))]


def write_compiled(net: Path) -> Path:
    """Compile a net and write its form beside it. Returns the form's file.

    Raises:
        BadArtefact: the net can't be compiled; a form that was there stays.
        OSError: the form can't be written.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "net"
        compile_into(folder, read_artefact(net))
        packed = pack(read_folder(folder))
    target = shipped_file(net)
    draft = target.with_name(f".{target.name}.part")
    try:
        draft.write_bytes(packed)
        draft.replace(
            target
        )  # as a whole: who loads the detector meanwhile finds the old form or the new one
    finally:
        draft.unlink(missing_ok=True)
    return target


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
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
