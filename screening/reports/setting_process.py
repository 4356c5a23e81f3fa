"""Sets one document, in a process of its own: the typesetter takes 90 MB, which go with it.

``python -m screening.reports.setting_process`` reads what is told from its standard input and writes the PDF.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Read ``{"timestamp": …, "told": {…}}`` and write PDF/UA-1."""
    import typst

    given = json.load(sys.stdin)
    pdf: bytes = typst.compile(
        HERE / "typeset.typ",
        root=HERE,
        font_paths=[HERE / "fonts"],
        ignore_system_fonts=True,
        pdf_standards="ua-1",
        timestamp=given["timestamp"],
        sys_inputs={"told": json.dumps(given["told"], ensure_ascii=False)},
    )
    sys.stdout.buffer.write(pdf)


if __name__ == "__main__":
    main()
