"""Exports as their readers get them: every kind of cell in a flagged row, and nothing that a spreadsheet runs."""

from __future__ import annotations

import csv
import io
import tracemalloc

import openpyxl
import pytest

from screening.uploads import exports
from screening.uploads.results import ScreeningOutcome
from screening.uploads.upload_folder import UploadFolder
from screening.web.services import Services
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.web.test_review import opened

ODD = ("1e999", "-1e400", "12.5", " =1+1", "  @SUM(A1)", "-1+1", "\ufffe", "00123")


def screened(person: Person, sample: bytes, odd: tuple[str, ...], times: int = 1) -> str:
    """The address of a screening of the sample's frauds, each with one of the cells in a column of its own."""
    header, *rows = sample.decode().splitlines()
    frauds = [row for row in rows if row.endswith(",1")][: len(odd)]
    lines = [f"{header},odd", *(f"{row},{cell}" for row, cell in zip(frauds, odd, strict=True))]
    answer = person.upload("\n".join([lines[0], *lines[1:] * times]).encode())
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return str(answer.location)


@pytest.mark.security(32)
def test_every_cell_of_a_flagged_row_stands_in_the_workbook(
    analyst: Person, worker: Worker, sample: bytes
) -> None:
    answer = analyst.client.get(screened(analyst, sample, ODD) + "/report.xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(answer.data))["Flagged rows"]
    header, *rows = sheet.iter_rows(values_only=True)
    kept = {ODD[int(str(row[0])) - 1]: row[header.index("odd")] for row in rows}
    assert len(kept) > 4
    expected = {"12.5": 12.5, "\ufffe": "\ufffd"}
    assert kept == {cell: expected.get(cell, cell) for cell in kept}


@pytest.mark.security(32)
def test_spaces_before_a_formula_hide_it_in_no_export(analyst: Person, worker: Worker, sample: bytes) -> None:
    done = screened(analyst, sample, ODD)
    for name, place in (("scores.csv", -3), ("flagged.csv", -1)):
        text = analyst.client.get(f"{done}/{name}").get_data(as_text=True)
        cells = {row[place] for row in csv.reader(io.StringIO(text))}
        assert "12.5" in cells
        assert not {cell for cell in cells if cell.strip()[:1] in ("=", "@")}, name


def test_a_workbook_of_many_rows_takes_little_memory(
    analyst: Person, worker: Worker, services: Services, sample: bytes
) -> None:
    """4,000 rows of 34 cells took 27 MB when they were kept in memory."""
    location = screened(analyst, sample, ("x",) * 9, times=450)
    screening = services.screenings.owned(location.rsplit("/", 1)[1], "ana")
    folder = UploadFolder(services.settings.instance, screening.id)
    found = ScreeningOutcome(folder, screening.threshold)
    assert screening.flagged > 3000
    assert len(found.reasons) == screening.flagged
    opened(services, screening.flagged)  # what the worker does meanwhile, in this process, counts, too
    worker.stop()  # else it may load other detectors
    next(exports.workbook(found, screening))  # its imports are not counted
    tracemalloc.start()
    size = sum(len(piece) for piece in exports.workbook(found, screening))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 100_000
    assert peak < 12e6
    assert not list(folder.path.glob("report-*"))
