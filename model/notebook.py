"""Runs the notebook from top to bottom and keeps what it shows: ``python -m model.notebook``.

It is committed with its outputs, so that it can be read without running it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).with_name("source-model.ipynb")
SECONDS = 1200


def run(source: Path = NOTEBOOK, target: Path | None = None) -> Any:
    """Run every cell in a fresh kernel; the result is written to ``target`` (by default over the source) and returned.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed; nothing is written.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(source, as_version=4)
    NotebookClient(notebook, timeout=SECONDS, resources={"metadata": {"path": str(source.parent)}}).execute()
    for cell in notebook.cells:
        # when it ran is nobody's business, and changes every time
        cell.metadata.pop("execution", None)
        # so do the addresses of objects and the libraries' notices
        if cell.cell_type == "code":
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
    nbformat.write(notebook, target or source)
    return notebook


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m model.notebook", description=__doc__)
    parser.add_argument("--out", type=Path, help="write the result there instead of over the notebook")
    options = parser.parse_args(arguments)
    run(target=options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
