"""Workbooks and Parquet files: read by a confined process, or refused for what they are."""

from __future__ import annotations

import datetime as dt
import io
import struct
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from xlsxwriter import Workbook

from screening.errors import BadFile, TooLarge
from screening.intake import FileKind, ReadLimits, header_of, open_transactions
from screening.intake.conversion import parquet as conversion_parquet
from screening.intake.conversion.zip_contents import check_workbook
from screening.settings import ROOT
from screening.transactions.schema import CARD, CellKind, ColumnContract, Role
from tests.screening.intake.conftest import Read, Refused
from tests.screening.intake.intake_tables import NAMES, numbers
from tests.waiting import wait_until


def workbook(*sheets: Sequence[Sequence[object]], names: Sequence[str] | None = None) -> bytes:
    """An .xlsx with these sheets, each a list of rows."""
    out = io.BytesIO()
    with Workbook(out, {"in_memory": True}) as book:
        for at, rows in enumerate(sheets):
            sheet = book.add_worksheet(names[at] if names else None)
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return out.getvalue()


def rows_of(table: np.ndarray) -> list[list[str | float]]:
    return [NAMES, *table.tolist()]


def with_entry(data: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The archive with one entry changed (or added)."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            content = old.read(entry)
            new.writestr(entry.filename, change(content) if entry.filename == name else content)
        if name not in old.namelist():
            new.writestr(name, change(b""))
    return out.getvalue()


SHEET = "xl/worksheets/sheet1.xml"


@pytest.fixture
def exact() -> np.ndarray:
    """Numbers that Excel's 16 digits hold exactly."""
    return np.round(numbers(12), 6)


def test_a_workbook_gives_the_same_values(read: Read, exact: np.ndarray) -> None:
    outcome = read(workbook(rows_of(exact), []), "t.xlsx")
    np.testing.assert_array_equal(outcome.values, exact[:, :-1])
    np.testing.assert_array_equal(outcome.labels, exact[:, -1])
    assert outcome.copied
    assert outcome.records()[2][0] == "2"
    assert header_of(outcome.canonical) == NAMES


def test_old_workbooks_are_read(read: Read, exact: np.ndarray) -> None:
    outcome = read(old_workbook(rows_of(exact)), "t.xls")
    np.testing.assert_array_equal(outcome.values, exact[:, :-1])


@pytest.mark.parametrize(("since_1904", "day"), [(False, "2021-01-03"), (True, "2025-01-04")])
def test_numbers_of_days_in_an_old_workbook_are_counted_as_it_counts(
    read: Read, since_1904: bool, day: str
) -> None:
    contract = ColumnContract(
        ("when", "x"), kinds=(CellKind.TIME, CellKind.NUMBER), roles=(Role.TIME, Role.NUMBER)
    )
    rows: list[list[str | float]] = [["when", "x"], [44199.0, 1.0], [44200.5, 2.0]]
    outcome = read(old_workbook(rows, since_1904=since_1904), "t.xls", contract=contract)
    assert np.datetime64("1970-01-01") + int(outcome.values[0, 0] // 86400) == np.datetime64(day)


def test_a_parquet_file_gives_the_same_values_to_the_last_bit(read: Read, table: np.ndarray) -> None:
    columns = {name: table[:, at] for at, name in enumerate(NAMES)}
    columns["V3"] = table[:, 3].astype(np.float32)
    columns["shop"] = pa.array(["a, b", None, '"c"', *["d"] * 9]).dictionary_encode()
    columns["when"] = pa.array([dt.datetime(2024, 1, 31, 12, tzinfo=dt.UTC)] * 12)
    out = io.BytesIO()
    parquet.write_table(pa.table(columns), out)
    outcome = read(out.getvalue(), "t.parquet")
    want = table[:, :-1].copy()
    want[:, 3] = want[:, 3].astype(np.float32)
    np.testing.assert_array_equal(outcome.values, want)
    assert [row[31] for row in outcome.records()[:3]] == ["a, b", "", '"c"']


def test_a_null_in_a_parquet_number_is_named_by_row_and_column(refused: Refused, table: np.ndarray) -> None:
    columns = {name: pa.array(table[:, at]) for at, name in enumerate(NAMES)}
    columns["V7"] = pa.array([None if at == 4 else 1.0 for at in range(12)])
    columns["V8"] = pa.array([float("nan") if at == 6 else 1.0 for at in range(12)])
    out = io.BytesIO()
    parquet.write_table(pa.table(columns), out)
    error = refused(out.getvalue(), "t.parquet")
    assert [(each.row, each.column, each.line) for each in error.problems] == [
        (5, "V7", None),
        (7, "V8", None),
    ]


def test_damage_in_a_parquet_file_is_refused(refused: Refused, table: np.ndarray) -> None:
    columns = {name: table[:, at] for at, name in enumerate(NAMES)}
    out = io.BytesIO()
    parquet.write_table(pa.table(columns), out)
    assert "damaged" in refused(out.getvalue()[:-50], "t.parquet").what
    assert "damaged" in refused(b"PAR1" + b"\xff" * 500, "t.parquet").what


def test_a_workbook_whose_list_points_before_its_beginning_is_damaged(
    refused: Refused, exact: np.ndarray
) -> None:
    data = bytearray(workbook(rows_of(exact)))
    end = data.rindex(b"PK\5\6")
    (place,) = struct.unpack_from("<I", data, end + 16)
    struct.pack_into("<I", data, end + 16, place + 5000)  # where the list begins, by its own account
    assert refused(bytes(data), "t.xlsx").what == "The workbook is damaged or cut off."


@pytest.mark.parametrize(
    ("parts", "first"),
    [
        (pa.array([[1, 2], None, *[[]] * 10]), "[1, 2]"),
        (
            pa.array([{"shop": "a, é", "at": dt.date(2026, 1, 2)}] * 12),
            '{"shop": "a, é", "at": "2026-01-02"}',
        ),
        (pa.array([[b"\0\xff"]] * 12), '["0x00ff"]'),
        (pa.array([b"\0\xff"] * 12), "0x00ff"),
        (pa.array([b"10"] * 12), "0x3130"),
        (pa.array([b"\0\xff"] * 12, pa.large_binary()), "0x00ff"),
        (pa.array([b"\0\xff"] * 12, pa.binary_view()), "0x00ff"),
        (pa.array([b"\0\xff"] * 12, pa.binary(2)), "0x00ff"),
        (pa.array([b"\0\xff"] * 12).dictionary_encode(), "0x00ff"),
        (
            pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(range(16))] * 12, pa.binary(16))),
            "00010203-0405-0607-0809-0a0b0c0d0e0f",
        ),
    ],
)
def test_lists_and_bytes_in_a_parquet_file_are_carried_along_as_text(
    read: Read, refused: Refused, table: np.ndarray, parts: pa.Array, first: str
) -> None:
    columns = {name: table[:, at] for at, name in enumerate(NAMES)}
    out = io.BytesIO()
    parquet.write_table(pa.table({**columns, "parts": parts}), out)
    outcome = read(out.getvalue(), "t.parquet")
    np.testing.assert_array_equal(outcome.values, table[:, :-1])
    carried = [row[-1] for row in outcome.records()]
    assert carried[0] == first
    if parts.null_count:
        assert carried[1:3] == ["", "[]"]
    out = io.BytesIO()
    parquet.write_table(pa.table({**columns, "V7": parts}), out)
    assert {each.column for each in refused(out.getvalue(), "t.parquet").problems} == {"V7"}


def test_what_is_no_number_in_a_workbook_is_named_by_row_and_column(
    refused: Refused, read: Read, exact: np.ndarray
) -> None:
    rows: list[list[object]] = [[*row] for row in rows_of(exact)]
    rows[3][7], rows[4][7], rows[5][7], rows[6][7] = "x", True, None, "2024-01-31"
    data = workbook(rows)
    error = refused(data, "t.xlsx")
    assert [(each.row, each.column, each.problem) for each in error.problems] == [
        (3, "V7", "is not a number"),
        (4, "V7", "is a yes or no, not a number"),
        (5, "V7", "is empty"),
        (6, "V7", "is a date, not a number"),
    ]
    assert read(data, "t.xlsx", set_aside=True).bad.sum() == 4


def test_a_date_in_a_number_column_is_refused(refused: Refused, exact: np.ndarray) -> None:
    out = io.BytesIO()
    with Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows_of(exact)):
            sheet.write_row(number, 0, row)
        sheet.write_datetime(3, 7, dt.date(2024, 1, 31), book.add_format({"num_format": "yyyy-mm-dd"}))
    (problem,) = refused(out.getvalue(), "t.xlsx").problems
    assert (problem.row, problem.column, problem.problem) == (3, "V7", "is a date, not a number")


@pytest.mark.security(23)
def test_two_sheets_with_data_are_refused_by_name(refused: Refused, exact: np.ndarray) -> None:
    error = refused(workbook(rows_of(exact), rows_of(exact), names=["January", "February"]), "t.xlsx")
    assert "January, February" in error.what
    assert "no sheet with data" in refused(workbook([]), "t.xlsx").what


@pytest.mark.security(23)
def test_truncated_and_foreign_archives_are_refused(refused: Refused, exact: np.ndarray) -> None:
    data = workbook(rows_of(exact))
    assert "damaged" in refused(data[:-100], "t.xlsx").what
    assert "damaged" in refused(data[:900], "t.xlsx").what
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "without an Excel workbook" in refused(out.getvalue(), "t.xlsx").what


@pytest.mark.security(23)
def test_an_encrypted_workbook_is_refused_as_such(refused: Refused) -> None:
    container = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
        + b"\0" * 1016
        + "EncryptedPackage".encode("utf-16-le")
        + b"\0" * 4000
    )
    assert "encrypted" in refused(container, "t.xlsx").what


@pytest.mark.security(23)
def test_formulas_without_values_are_refused_by_their_cell(
    refused: Refused, read: Read, exact: np.ndarray
) -> None:
    data = workbook(rows_of(exact))

    def formula(value: bytes) -> bytes:
        def change(xml: bytes) -> bytes:
            at = xml.index(b'<c r="C5"')
            return xml[:at] + b'<c r="C5"><f>1+1</f>' + value + b"</c>" + xml[xml.index(b"</c>", at) + 4 :]

        return with_entry(data, SHEET, change)

    for value in (b"", b"<v></v>", b"<v/>"):
        error = refused(formula(value), "t.xlsx")
        assert error.where == "cell C5"
        assert "formulas without values" in error.what
    assert read(formula(b"<v>2</v>"), "t.xlsx").values[3, 2] == 2


@pytest.mark.security(46)
@pytest.mark.parametrize(
    "cell",
    [
        b'<c r="C5"><f>1</f>' + b" " * 900_000,  # 300 s of backtracking
        b'<c r="C5"><f>1</f>' + b" " * 900_000 + b"x</c>",
        b"<c><f/>" * 60_000 + b" " * 400_000,
        b"<c " * 300_000,
        b"<c><f " * 150_000,
        b"<c><f>" * 150_000,
        b"<c>" + b" " * 900_000,
        b"<c><f/><v>" + b" " * 900_000,
        b"<c><f/>" + b"<v" + b" " * 900_000,
    ],
    ids=range(9),
)
def test_a_sheet_costs_no_more_than_its_length_whatever_stands_in_it(
    tmp_path: Path, exact: np.ndarray, cell: bytes
) -> None:
    def change(xml: bytes) -> bytes:
        return xml.replace(b"</sheetData>", cell + b"</sheetData>")

    file = tmp_path / "t.xlsx"
    file.write_bytes(with_entry(workbook(rows_of(exact)), SHEET, change))
    began = time.process_time()
    with suppress(BadFile):
        check_workbook(file, ReadLimits())
    assert time.process_time() - began < 60, "a quadratic pattern takes minutes for this, a linear one 0.1 s"


@pytest.mark.parametrize(
    ("cell", "bare"),
    [
        (b'<c r="C5"><f>1+1</f></c>', True),
        (b'<c r="C5"> <f>1+1</f> <v> </v> </c>', True),
        (b'<c r="C5"><f t="shared" si="0"/></c>', True),
        (b'<c r="C5"><f t="shared" si="0"/><v/></c>', True),
        (b'<c r="C5"><f>1+1</f><v>2</v></c>', False),
        (b'<c r="C5"><f t="shared" si="0"/><v>2</v></c>', False),
        (b'<c r="C5" t="str"><f>""</f><v></v></c>', False),
        (b'<c r="C5"><v>2</v></c>', False),
    ],
)
def test_what_counts_as_a_formula_without_a_value(
    tmp_path: Path, exact: np.ndarray, cell: bytes, bare: bool
) -> None:
    def change(xml: bytes) -> bytes:
        at = xml.index(b'<c r="C5"')
        return xml[:at] + cell + xml[xml.index(b"</c>", at) + 4 :]

    file = tmp_path / "t.xlsx"
    file.write_bytes(with_entry(workbook(rows_of(exact)), SHEET, change))
    with pytest.raises(BadFile, match="C5") if bare else nullcontext():
        check_workbook(file, ReadLimits())


def converters() -> list[int]:
    """Every converter's process on this machine that is a child of this one's, or was orphaned."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if b"screening.intake.conversion.child" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


SLOW = "import sys, time; from screening.intake.conversion import child; child._convert = lambda *_: time.sleep(60); "


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc; run `make test` on Linux")
@pytest.mark.security(46)
def test_a_file_that_nobody_wants_any_more_ends_its_converter_at_once(
    tmp_path: Path, exact: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "screening.intake.conversion.convert.COMMAND", [sys.executable, "-c", f"{SLOW}sys.exit(child.main())"]
    )
    file, asked = tmp_path / "t.xlsx", []
    file.write_bytes(workbook(rows_of(exact)))

    def waiting() -> None:
        asked.append(time.monotonic())
        if len(asked) == 3:
            raise InterruptedError("deleted")

    with pytest.raises(InterruptedError):
        list(
            open_transactions(
                file, FileKind.XLSX, lambda _: CARD, canonical=tmp_path / "canonical.csv", waiting=waiting
            )
        )
    assert len(asked) == 3
    assert not (tmp_path / "canonical.csv").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc; run `make test` on Linux")
@pytest.mark.security(57)
def test_a_converter_goes_with_its_parent_however_that_ended(tmp_path: Path, exact: np.ndarray) -> None:
    program = f"""
import sys
from pathlib import Path
from screening.intake import ReadLimits
from screening.intake.conversion import convert
from screening.intake.kinds import FileKind
convert.COMMAND = [sys.executable, "-c", {SLOW + "sys.exit(child.main())"!r}, "screening.intake.conversion.child"]
convert.convert(Path(sys.argv[1]), FileKind.XLSX, Path(sys.argv[2]), ReadLimits(), lambda: print("waiting", flush=True))
"""
    file = tmp_path / "t.xlsx"
    file.write_bytes(workbook(rows_of(exact)))
    before = set(converters())
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(file), str(tmp_path / "out.csv")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"waiting\n"
    born = set(converters()) - before - {parent.pid}
    assert born
    parent.kill()
    parent.wait()
    wait_until(lambda: not (born & set(converters())), "the converter outlived its parent")


@pytest.mark.security(23)
def test_a_bogus_dimension_is_no_matter(read: Read, exact: np.ndarray) -> None:
    def change(xml: bytes) -> bytes:
        start = xml.index(b"<dimension")
        return xml[:start] + b'<dimension ref="A1:XFD1048576"/>' + xml[xml.index(b"/>", start) + 2 :]

    outcome = read(with_entry(workbook(rows_of(exact)), SHEET, change), "t.xlsx")
    np.testing.assert_array_equal(outcome.values, exact[:, :-1])


@pytest.mark.security(23, 24)
def test_a_cell_in_the_far_corner_costs_the_child_its_memory_and_nobody_else(
    refused: Refused, exact: np.ndarray
) -> None:
    def change(xml: bytes) -> bytes:
        return xml.replace(
            b"</sheetData>", b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
        )

    limits = ReadLimits(child_memory=2**29, child_seconds=30)
    error = refused(with_entry(workbook(rows_of(exact)), SHEET, change), "t.xlsx", limits=limits)
    assert error.status == 400


def far_below(
    rows: Sequence[Sequence[object]], *cells: tuple[int, int, object], first: tuple[int, int] = (0, 0)
) -> bytes:
    """A sheet with some cells more, far below its table."""
    out = io.BytesIO()
    with Workbook(out, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(first[0] + number, first[1], row)
        for number, column, value in cells:
            sheet.write(number, column, value)
    return out.getvalue()


@pytest.mark.security(24)
def test_a_stray_cell_in_the_last_row_is_named_and_not_a_million_empty_rows(
    refused: Refused, exact: np.ndarray
) -> None:
    problem = refused(far_below(rows_of(exact), (1_048_575, 0, "x")), "t.xlsx")
    assert "rows 14 to 1,048,575 are, and below them stands A1048576." in problem.what
    assert problem.where == "cell A1048576"
    assert not problem.problems


@pytest.mark.parametrize("set_aside", [False, True])
def test_several_stray_cells_are_named_wherever_the_table_begins(
    refused: Refused, exact: np.ndarray, set_aside: bool
) -> None:
    cells = [(4000, 27, 1), (4000, 30, 0.0), *((5000 + n, 2, "x") for n in range(9))]
    problem = refused(far_below(rows_of(exact), *cells, first=(1, 1)), "t.xlsx", set_aside=set_aside)
    assert "rows 15 to 4,000 are, and below them stand AB4001, AE4001, C5001" in problem.what
    assert problem.what.endswith("C5003 and others.")


def test_empty_rows_within_a_table_are_rows_like_others(
    refused: Refused, read: Read, exact: np.ndarray
) -> None:
    rows = rows_of(exact)
    gap: list[list[str | float]] = [[]] * 900
    problem = refused(workbook([*rows[:5], *gap, *rows[5:]]), "t.xlsx")
    assert problem.problem_count == 900
    outcome = read(workbook([*rows, *gap, *gap]), "t.xlsx")
    assert len(outcome.values) == len(exact)


def test_one_giant_string_in_a_small_workbook_is_refused(refused: Refused, exact: np.ndarray) -> None:
    rows = rows_of(exact)
    rows[1] = [*rows[1], "text"]

    def change(xml: bytes) -> bytes:
        return xml.replace(b"<t>text</t>", b"<t>" + b"x" * 150_000_000 + b"</t>")

    bomb = with_entry(workbook(rows), "xl/sharedStrings.xml", change)
    assert len(bomb) < 700_000
    assert "50 times its size" in refused(bomb, "t.xlsx").what


@pytest.mark.security(24)
def test_sizes_that_the_archive_lies_about_are_found_out(refused: Refused, exact: np.ndarray) -> None:
    data = workbook(rows_of(exact))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        size = archive.getinfo(SHEET).file_size
    assert "damaged" in refused(data.replace(struct.pack("<I", size), struct.pack("<I", 100)), "t.xlsx").what


@pytest.mark.security(24)
def test_more_than_may_be_unpacked_is_too_large(refused: Refused, exact: np.ndarray) -> None:
    error = refused(workbook(rows_of(exact)), "t.xlsx", limits=ReadLimits(unpacked=5000))
    assert isinstance(error, TooLarge)


@pytest.mark.security(24)
@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY b "lol"><!ENTITY c "&b;&b;&b;&b;&b;&b;">]>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>',
    ],
)
def test_xml_entities_are_refused(refused: Refused, exact: np.ndarray, head: str) -> None:
    def change(xml: bytes) -> bytes:
        start = xml.index(b"?>") + 2
        return xml[:start] + b" " * 3_000_000 + head.encode() + xml[start:]

    assert "XML entities" in refused(with_entry(workbook(rows_of(exact)), SHEET, change), "t.xlsx").what


def test_what_takes_too_long_is_ended(refused: Refused, exact: np.ndarray) -> None:
    assert (
        "more than 0 seconds"
        in refused(workbook(rows_of(exact)), "t.xlsx", limits=ReadLimits(child_seconds=0.01)).what
    )


def old_workbook(rows: Sequence[Sequence[str | float]], *, since_1904: bool = False) -> bytes:
    """An .xls of one sheet: a BIFF 5 stream in a compound file."""
    begin = record(0x0809, struct.pack("<HHHH", 0x0500, 0x0005, 0, 0))
    begin += record(0x0022, struct.pack("<H", since_1904)) + record(0x000E, b"\1\0")
    name = record(0x0085, struct.pack("<IHB", len(begin) + 4 + 13 + 4, 0, 6) + b"Sheet1")
    sheet = [record(0x0809, struct.pack("<HHHH", 0x0500, 0x0010, 0, 0))]
    sheet.append(record(0x0200, struct.pack("<HHHHH", 0, len(rows), 0, len(rows[0]), 0)))
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            if isinstance(cell, str):
                sheet.append(record(0x0204, struct.pack("<HHHH", y, x, 0, len(cell)) + cell.encode()))
            else:
                sheet.append(record(0x0203, struct.pack("<HHHd", y, x, 0, cell)))
    return compound(b"".join([begin, name, record(0x000A), *sheet, record(0x000A)]))


def record(kind: int, body: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, len(body)) + body


def compound(stream: bytes) -> bytes:
    """A compound file (MS-CFB, version 3): a table of sectors, a directory, and the stream ``Book``."""
    stream += b"\0" * (max(4096, -(-len(stream) // 512) * 512) - len(stream))
    count = len(stream) // 512
    end, free, table = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
    chain = [table, end, *range(3, count + 2), end]
    chain += [free] * (128 - len(chain))
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16 + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6)
    head += (
        b"\0" * 6
        + struct.pack("<9I", 0, 1, 1, 0, 4096, end, 0, end, 0)
        + struct.pack("<109I", 0, *[free] * 108)
    )

    def entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
        letters = name.encode("utf-16-le") + b"\0\0" if name else b""
        body = letters.ljust(64, b"\0") + struct.pack("<HBBIII", len(letters), kind, 1, free, free, child)
        return body + b"\0" * 36 + struct.pack("<IQ", start, size)

    unused = entry("", 0, free, 0, 0)
    directory = entry("Root Entry", 5, 1, end, 0) + entry("Book", 2, free, 2, len(stream)) + unused * 2
    return head + struct.pack("<128I", *chain) + directory + stream


@pytest.mark.security(56)
def test_a_parquet_file_that_unpacks_to_hundreds_of_times_its_size_is_refused(refused: Refused) -> None:
    rows = 1_500_000
    out = io.BytesIO()
    parquet.write_table(pa.table({name: np.zeros(rows) for name in CARD.columns}), out)
    assert len(out.getvalue()) < 200_000
    assert "times its size" in refused(out.getvalue(), "t.parquet").what


@pytest.mark.security(56)
def test_a_parquet_file_that_says_too_little_of_its_size_is_found_out_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says of itself is only the first of two looks."""
    source, target = tmp_path / "a.parquet", tmp_path / "a.csv"
    parquet.write_table(pa.table({name: np.full(200_000, 0.123456789) for name in CARD.columns}), source)
    monkeypatch.setattr(conversion_parquet, "_said_size", lambda _: 0)
    limits = ReadLimits(ratio_from=1_000_000)
    with pytest.raises(BadFile, match="times its size"):
        conversion_parquet.to_csv(source, target, limits)
    assert target.stat().st_size < 8_000_000  # of 80 MB
