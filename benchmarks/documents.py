"""The workbook of all rows of a screening of 284,807, in a process of its own: ``python -m benchmarks.documents``."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.files import card_file
from screening.detectors.registry import Detectors
from screening.infra.database import Database
from screening.intake import FileKind
from screening.ledger.ledger import Ledger
from screening.reports.documents import DocumentSubject
from screening.reports.making import DocumentOrder, ReportServices, make
from screening.scoring.thresholds import always
from screening.settings import ROOT, Settings, make_instance
from screening.uploads.line.order import ScreeningOrder
from screening.uploads.line.screen import screen
from screening.uploads.screenings import DONE, Screening, new_id
from screening.uploads.upload_folder import UploadFolder

PROGRAM = "import sys; from benchmarks import documents; documents.child(*sys.argv[1:])"


def measure() -> dict[str, float]:
    """Seconds, size, and the most memory of the process that makes the workbook."""
    with TemporaryDirectory() as folder:
        instance = Path(folder)
        settings = _settings(instance)
        make_instance(settings)
        database = Database(settings.database_url)
        database.create_tables()
        Ledger.open(instance, settings.database_url)
        screening_id = _screened(settings, database)
        environment = {**os.environ, "INSTANCE_PATH": folder, "DATABASE_URL": settings.database_url}
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, screening_id, str(instance / "book.xlsx")],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        size = (instance / "book.xlsx").stat().st_size / 1e6
        database.engine.dispose()
    return {
        "workbook of all rows, seconds": seconds,
        "its size, MB": size,
        "peak MB of its process": float(done.stdout),
    }


def _settings(instance: Path) -> Settings:
    return Settings(
        instance=instance, database_url=f"sqlite:///{instance / 'screening.sqlite3'}", secret_key="k" * 32
    )


def _screened(settings: Settings, database: Database) -> str:
    """Screen the file as a worker does; return the id of the screening."""
    folder, path = UploadFolder(settings.instance, screening_id := new_id()), card_file()
    folder.create()
    folder.arriving.write_bytes(path.read_bytes())
    folder.complete()
    order = ScreeningOrder(limits=always(0.8), wanted="card", set_aside=True)
    found = screen(folder, FileKind.CSV, Detectors(settings), order)
    now = datetime.now(UTC)
    with database.write() as session:
        session.add(
            Screening(
                id=screening_id, owner="bench", filename=path.name, kind="csv", state=DONE, progress=1.0, created=now,
                finished=now, set_aside_bad=True, threshold=0.8, detector=found.detector, fingerprint=found.fingerprint,
                rows=found.rows, flagged=found.flagged, set_aside=found.set_aside, quality=found.quality,
                notes=found.notes, attempts=1, check_first=False, tokenize=False,
            )
        )  # fmt: skip
    return screening_id


def child(screening_id: str, target: str) -> None:
    """Make the workbook, and say what this process held at most, in MB (VmHWM)."""
    order = DocumentOrder(
        what=DocumentSubject.SCREENING,
        kind="xlsx",
        author="bench",
        made=datetime.now(UTC),
        subject=screening_id,
    )
    with Path(target).open("wb") as file:
        make(order, ReportServices.of(Settings.from_environ()), file, lambda _share, _stage: None)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6)


def main() -> None:
    """Print the figures."""
    for name, value in measure().items():
        print(f"{name:<60} {value:>12.3f}")


if __name__ == "__main__":
    main()
