"""The first rows of files of every kind, as text."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest

from screening.errors import BadFile
from screening.intake import FileKind
from screening.intake.preview import MOST_BYTES, preview

ROWS = [["2024-03-01 10:00", "c1", "12.5"], ["2024-03-02 11:00", "c2, the second", "7"]]
TEXT = 'when,card,amount\n2024-03-01 10:00,c1,12.5\n2024-03-02 11:00,"c2, the second",7\n'


def written(folder: Path, name: str, content: bytes) -> Path:
    file = folder / name
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (FileKind.CSV, TEXT.encode()),
        (FileKind.CSV, b"\xef\xbb\xbf" + TEXT.encode()),
        (FileKind.CSV, TEXT.encode("utf-16")),
        (FileKind.CSV, TEXT.replace("\n", "\r\n").encode()),
        (FileKind.CSV_GZ, gzip.compress(TEXT.encode(), mtime=0)),  # the test's name is made of it
    ],
)
def test_text_is_read_whatever_its_encoding_and_packing(
    tmp_path: Path, kind: FileKind, content: bytes
) -> None:
    assert preview(written(tmp_path, "a", content), kind) == (["when", "card", "amount"], ROWS)


def test_workbooks_and_parquet_files_are_read_and_their_copies_removed(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["when", "card", "amount"])
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for name, kind in (("a.parquet", FileKind.PARQUET), ("a.xlsx", FileKind.XLSX)):
        assert preview(tmp_path / name, kind, scratch=scratch) == (["when", "card", "amount"], ROWS)
        assert list(scratch.iterdir()) == []


def test_cells_are_shown_as_they_stand(tmp_path: Path) -> None:
    file = written(tmp_path, "a.csv", b"amount;note\n1,5;a,b\n-2,25;3,x\n")
    assert preview(file, FileKind.CSV)[1] == [["1,5", "a,b"], ["-2,25", "3,x"]]


def test_rows_of_another_length_are_left_out_and_only_so_many_are_read(tmp_path: Path) -> None:
    lines = [b"a,b", b"1,2,3", b"1", *[b"%d,0" % number for number in range(20)]]
    header, rows = preview(written(tmp_path, "a.csv", b"\n".join(lines)), FileKind.CSV, rows=3)
    assert header == ["a", "b"]
    assert rows == [["0", "0"], ["1", "0"], ["2", "0"]]


def test_a_file_with_a_header_alone_has_no_rows(tmp_path: Path) -> None:
    assert preview(written(tmp_path, "a.csv", b"a,b\n"), FileKind.CSV) == (["a", "b"], [])


@pytest.mark.parametrize("content", [b"", b"  \n", b"1,2\n3,4\n", b"# comment\na,b\n"])
def test_what_is_no_table_is_refused_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(BadFile) as caught:
        preview(written(tmp_path, "a.csv", content), FileKind.CSV)
    assert caught.value.remedy


def test_a_quotation_mark_that_never_closes_gives_no_rows(tmp_path: Path) -> None:
    file = written(tmp_path, "a.csv", b'a,b\n1,"' + b"x" * 300_000)
    assert preview(file, FileKind.CSV)[1] == []


def test_a_large_file_of_long_rows_takes_bounded_memory(tmp_path: Path) -> None:
    row = b"1," + b"x" * 60_000 + b"\n"
    file = written(tmp_path, "a.csv", b"a,b\n" + row * 2000)
    tracemalloc.start()
    _, rows = preview(file, FileKind.CSV)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(rows) < MOST_BYTES / 60_000 + 50
    assert most < 8 * MOST_BYTES
