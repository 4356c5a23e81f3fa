"""A check of a file by itself, on a small detector: what it reads, keeps and leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from screening.detectors.detector import Detector
from screening.detectors.states import DetectorStanding, DetectorState
from screening.errors import BadFile, ColumnsMissing
from screening.intake import FileKind
from screening.uploads import preflight
from screening.uploads.preflight import PreflightReport, PreflightSummary, check
from screening.uploads.questions.column_mappings import Mapping
from screening.uploads.upload_folder import UploadFolder

Check = Callable[..., PreflightSummary]
ROWS = 300


@pytest.fixture
def folder(tmp_path: Path) -> UploadFolder:
    made = UploadFolder(tmp_path, "a")
    made.create()
    return made


@pytest.fixture
def run(folder: UploadFolder, tiny: Detector) -> Check:
    class One:
        """The small detector as the only one."""

        def choose(self, header: list[str], _wanted: str | None) -> Detector:
            tiny.contract.match(header)
            return tiny

        def get(self, _name: str) -> Detector:
            return tiny

        def offered(self) -> list[Detector]:
            return [tiny]

        choosable = offered

        def in_place_of(self, detector: Detector) -> tuple[Detector, str]:
            return detector, ""

        def standing(self, _name: str) -> DetectorStanding:
            return DetectorStanding(DetectorState.APPROVED)

    def checked(text: str, **more: Any) -> PreflightSummary:
        folder.input.write_bytes(text.encode())
        folder.complete()
        one: Any = One()  # stands for the detectors of an instance
        return check(folder, FileKind.CSV, one, wanted=None, **{"on_batch": lambda _size: None, **more})

    return checked


def table(tiny: Detector, *, extra: dict[str, list[str]] | None = None, mark: str = ",") -> str:
    generator = np.random.default_rng(0)
    label = (np.arange(ROWS) % 10 == 0).astype(int)
    columns = {name: [str(value) for value in generator.random(ROWS)] for name in tiny.contract.columns}
    columns |= {"Class": [str(value) for value in label]} | (extra or {})
    if mark == ";":
        columns = {name: [cell.replace(".", ",") for cell in cells] for name, cells in columns.items()}
    return "\n".join([mark.join(columns), *(mark.join(row) for row in zip(*columns.values(), strict=True))])


def test_a_file_that_must_be_copied_to_be_read_is_judged_by_all_its_columns(
    run: Check, folder: UploadFolder, tiny: Detector
) -> None:
    paid = [f"{9.5 if row % 10 == 0 else 0.25}" for row in range(ROWS)]
    when = ["2026-01-02" if row % 10 == 0 else "" for row in range(ROWS)]
    run(table(tiny, extra={"paid back": paid, "Größe": ["1.5"] * ROWS, "closed": when}, mark=";"))
    assert [(one["column"], one["kind"]) for one in PreflightReport(folder).found["suspects"]] == [
        ("paid back", "leak"),
        ("closed", "leak"),
    ]


def test_columns_beyond_the_bound_are_passed_over_and_counted(
    run: Check, folder: UploadFolder, tiny: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("screening.uploads.leakage_findings.MOST_EXTRA", 3)
    monkeypatch.setattr(preflight, "MOST_EXTRA", 3)
    leak = [str(int(row % 10 == 0)) for row in range(ROWS)]
    run(table(tiny, extra={f"x{place}": leak for place in range(5)}))
    found = PreflightReport(folder).found
    assert [one["column"] for one in found["suspects"]] == ["x0", "x1", "x2"]
    assert found["passed_over"] == 2


@pytest.mark.security(25)
def test_a_columns_name_is_kept_short_and_without_card_numbers(
    run: Check, folder: UploadFolder, tiny: Detector
) -> None:
    label = [str(int(row % 10 == 0)) for row in range(ROWS)]
    named = {"chargeback 4111111111111111": label, "z" * 3000: label}
    run(table(tiny, extra=named))
    assert [one["column"] for one in PreflightReport(folder).found["suspects"]] == [
        "chargeback ••••",
        "z" * 80,
    ]
    assert "4111" not in (folder.path / preflight.REPORT).read_text()


def test_too_few_frauds_leave_names_only(run: Check, folder: UploadFolder, tiny: Detector) -> None:
    text = table(tiny, extra={"chargeback": ["0"] * ROWS, "copy": ["0"] * ROWS})
    lines = text.split("\n")
    run("\n".join([lines[0], *(line for line in lines[1:] if not line.endswith("1,0,0")), lines[1]]))
    found = PreflightReport(folder).found
    assert found["labels"] == {
        "column": "Class",
        "compared": False,
        "fraud": 1,
        "legitimate": 270,
        "blank": 0,
    }
    assert [(one["column"], one["kind"], one["auc"]) for one in found["suspects"]] == [
        ("chargeback", "name", None)
    ]


def test_bad_rows_are_no_duplicates_of_each_other_and_minus_nought_is_nought(
    run: Check, folder: UploadFolder, tiny: Detector
) -> None:
    lines = table(tiny).split("\n")
    bad = ",".join(["x"] * len(lines[0].split(",")))
    nought = ",".join(["0"] * (len(tiny.contract.columns) + 1))
    other = nought.replace("0", "-0.0", 3)
    found = run("\n".join([*lines, bad, bad, nought, other, nought]))
    assert (found.rows, found.set_aside) == (ROWS + 5, 2)
    assert PreflightReport(folder).found["duplicates"]["first"] == [
        {"row": ROWS + 4, "repeats": ROWS + 3},
        {"row": ROWS + 5, "repeats": ROWS + 3},
    ]


def test_what_was_said_of_the_columns_is_used_and_kept(run: Check, tiny: Detector) -> None:
    text = table(tiny).replace("Amount", "Betrag", 1)
    with pytest.raises(ColumnsMissing):
        run(text, recall=lambda _header: None)
    columns = {name: name for name in tiny.contract.columns} | {"Amount": "Betrag"}
    found = run(text, recall=lambda _header: Mapping("tiny", columns))
    assert found.mapping == columns
    assert "Betrag as Amount" in " ".join(found.notes)


def test_a_check_that_is_stopped_or_refused_leaves_no_report(
    run: Check, folder: UploadFolder, tiny: Detector
) -> None:
    def stop(_size: int) -> None:
        raise KeyboardInterrupt

    run(table(tiny))
    with pytest.raises(KeyboardInterrupt):
        run(table(tiny), on_batch=stop)
    with pytest.raises(BadFile):
        run(table(tiny) + "\n1,2")
    assert sorted(path.name for path in folder.path.iterdir()) == ["input", "whole"]


def test_a_report_is_discarded_as_a_whole(run: Check, folder: UploadFolder, tiny: Detector) -> None:
    run(table(tiny))
    preflight.discard(folder)
    preflight.discard(folder)
    assert sorted(path.name for path in folder.path.iterdir()) == ["input", "whole"]
