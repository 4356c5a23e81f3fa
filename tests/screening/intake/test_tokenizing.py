"""A file of any kind with tokens in place of its card numbers, and all else as it was."""

from __future__ import annotations

import csv
import gzip
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from screening.cards.tokens import Tokens
from screening.errors import BadFile
from screening.intake import FileKind
from screening.intake.tokenizing import replace_card_numbers
from tests.screening.intake.test_intake_refusals import luhn

TOKENS = Tokens(b"k" * 32, "4b")
CARDS = [luhn(f"4{at:014d}") for at in range(11, 51)]
TABLE = [
    ["when", "pan", "note", "value"],
    *([f"2026-01-{1 + at % 28:02d}", card, 'said "é", twice', f"{at},5"] for at, card in enumerate(CARDS)),
]


def written(path: Path, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as out:
        csv.writer(out, delimiter=delimiter).writerows(TABLE)
    return path


def workbook(path: Path) -> Path:
    import xlsxwriter

    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        for line, row in enumerate(TABLE):
            for place, cell in enumerate(row):
                if line and place == 1:
                    sheet.write_number(line, place, float(cell))
                else:
                    sheet.write_string(line, place, cell)
    return path


def parquet(path: Path) -> Path:
    import pandas as pd

    frame = pd.DataFrame(TABLE[1:], columns=TABLE[0])
    frame["pan"] = frame["pan"].astype("int64")
    frame.to_parquet(path)
    return path


def packed(path: Path) -> Path:
    path.write_bytes(gzip.compress(written(path.with_suffix(".csv")).read_bytes()))
    return path


@pytest.mark.security(54)
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (written, FileKind.CSV),
        (lambda path: written(path, ";", "cp1252"), FileKind.CSV),
        (lambda path: written(path, "\t", "utf-16"), FileKind.CSV),
        (packed, FileKind.CSV_GZ),
        (workbook, FileKind.XLSX),
        (parquet, FileKind.PARQUET),
    ],
)
def test_every_kind_of_file_becomes_a_table_with_tokens(
    tmp_path: Path, make: Callable[[Path], Path], kind: FileKind
) -> None:
    source, target = make(tmp_path / "source.bin"), tmp_path / "target"
    found = replace_card_numbers(source, kind, target, TOKENS)
    assert found is not None
    assert (found.columns, found.cells) == (("pan",), len(CARDS))
    with target.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == TABLE[0]
    assert [row[1] for row in rows] == [TOKENS.token(card) for card in CARDS]
    assert [[*row[:1], *row[2:]] for row in rows] == [[*row[:1], *row[2:]] for row in TABLE[1:]]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if path != source) in (
        ["target"],
        ["source.csv", "target"],
    )


def test_a_file_without_card_numbers_is_left_alone(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("id,value\n" + "".join(f"40000000000000{at:02d},1\n" for at in range(60)))
    assert replace_card_numbers(source, FileKind.CSV, tmp_path / "b", TOKENS) is None
    assert not (tmp_path / "b").exists()


def test_a_named_column_has_them_replaced_however_few_there_are(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("ref,value\nfirst,1\n4111111111111111,2\n\nlast\n")
    found = replace_card_numbers(source, FileKind.CSV, tmp_path / "b", TOKENS, columns=["REF"])
    assert found is not None
    assert found.cells == 1
    assert (tmp_path / "b").read_text() == f"ref,value\nfirst,1\n{TOKENS.token('4' + '1' * 15)},2\n\nlast\n"
    with pytest.raises(BadFile, match="no column 'pan'"):
        replace_card_numbers(source, FileKind.CSV, tmp_path / "c", TOKENS, columns=["pan"])
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("rest", ['"open,1\n', 'a"b,1\n'])
def test_a_file_that_cant_be_read_leaves_nothing(tmp_path: Path, rest: str) -> None:
    source = tmp_path / "a.csv"
    source.write_text("pan,value\n" + "".join(f"{card},1\n" for card in CARDS) + rest)
    with pytest.raises(BadFile, match="can't be read safely"):
        replace_card_numbers(source, FileKind.CSV, tmp_path / "b", TOKENS)
    assert not (tmp_path / "b").exists()


def test_who_leaves_leaves_nothing(tmp_path: Path) -> None:
    calls = iter([None, KeyboardInterrupt])

    def waiting() -> None:
        if (problem := next(calls)) is not None:
            raise problem

    source = written(tmp_path / "a.csv")
    with pytest.raises(KeyboardInterrupt):
        replace_card_numbers(source, FileKind.CSV, tmp_path / "b", TOKENS, waiting=waiting)
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
