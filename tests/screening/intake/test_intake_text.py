"""Text tables: what is accepted comes with the same values, what is refused says where."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from screening.intake import ReadLimits, header_of
from screening.transactions.schema import CARD
from tests.screening.intake.conftest import Outcome, Read, Refused
from tests.screening.intake.intake_tables import NAMES, lines, numbers, text

TINY = ReadLimits(block=700)  # a row is about 600 bytes long: many blocks, most cut in the middle of a row


def assert_same(outcome: Outcome, table: np.ndarray) -> None:
    np.testing.assert_array_equal(outcome.values, table[:, :-1])
    np.testing.assert_array_equal(outcome.labels, table[:, -1])
    assert not outcome.bad.any()


def test_a_plain_file_is_read_in_place(read: Read, table: np.ndarray, cells: list[list[str]]) -> None:
    outcome = read(text(cells))
    assert_same(outcome, table)
    assert not outcome.copied
    assert outcome.records() == cells[1:]
    assert header_of(outcome.canonical) == NAMES


@pytest.mark.parametrize("block", [1, 7, 64, 600, 601, 5000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_size_of_the_blocks_changes_nothing(
    read: Read, table: np.ndarray, cells: list[list[str]], block: int, end: str
) -> None:
    outcome = read(text(cells, end=end), limits=ReadLimits(block=block))
    assert_same(outcome, table)
    assert outcome.records() == cells[1:]
    firsts = [batch.first_row for batch in outcome.batches]
    assert firsts == [1 + sum(len(batch) for batch in outcome.batches[:at]) for at in range(len(firsts))]


@pytest.mark.security(19)
def test_columns_in_another_order_case_and_with_spaces_give_the_same_values(
    read: Read, table: np.ndarray, cells: list[list[str]]
) -> None:
    order = np.random.default_rng(1).permutation(len(NAMES))
    shuffled = [[row[at] for at in order] for row in cells]
    shuffled[0] = [f" {name.upper()} " if at % 2 else name.lower() for at, name in enumerate(shuffled[0])]
    outcome = read(text(shuffled))
    assert_same(outcome, table)
    assert outcome.batches[0].transactions.columns == CARD.columns


def test_other_columns_are_kept(read: Read, table: np.ndarray, cells: list[list[str]]) -> None:
    wide = [["shop", *row, "note"] if at == 0 else ["a b", *row, "x"] for at, row in enumerate(cells)]
    outcome = read(text(wide))
    assert_same(outcome, table)
    assert outcome.records()[3] == wide[4]


@pytest.mark.security(21)
@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize("quote", [False, True])
def test_decimal_commas_between_semicolons_or_tabs_are_read(
    read: Read, table: np.ndarray, cells: list[list[str]], delimiter: str, quote: bool
) -> None:
    rows = [[cell.replace(".", ",") for cell in row] for row in cells]
    if quote:
        rows = [[f'"{cell}"' for cell in row] for row in rows]
    outcome = read(text(rows, delimiter), limits=TINY)
    assert_same(outcome, table)
    assert outcome.copied
    assert outcome.records() == [[cell.strip('"') for cell in row] for row in rows[1:]]


def test_points_between_semicolons_are_read_and_copied_with_commas(
    read: Read, table: np.ndarray, cells: list[list[str]]
) -> None:
    outcome = read(text(cells, ";"))
    assert_same(outcome, table)
    assert outcome.canonical.read_text() == text(cells)


def test_decimal_commas_may_show_late(read: Read) -> None:
    table = numbers(40)
    table[:20, 1:-1] = np.arange(20)[:, None]
    rows = [[cell.removesuffix(".0").replace(".", ",") for cell in row] for row in lines(table)]
    assert_same(read(text(rows, ";"), limits=ReadLimits(block=300)), table)


@pytest.mark.security(22)
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"]
)
def test_the_usual_encodings_are_read(
    read: Read, table: np.ndarray, cells: list[list[str]], encoding: str
) -> None:
    wide = [[*row, "händler"] if at else [*row, "señal"] for at, row in enumerate(cells)]
    outcome = read(text(wide).encode(encoding), limits=TINY)
    assert_same(outcome, table)
    assert outcome.records() == wide[1:]
    assert header_of(outcome.canonical)[-1] == "señal"
    assert "händler,0.5" in outcome.exported(p=["0.5"] * 12)


@pytest.mark.security(22)
def test_latin_1_that_shows_only_after_the_first_block_is_read(
    read: Read, table: np.ndarray, cells: list[list[str]]
) -> None:
    wide = [[*row, "shop"] for row in cells]
    wide[-1][-1] = "Café"
    outcome = read(text(wide).encode("latin-1"), limits=ReadLimits(block=700, record=1000))
    assert_same(outcome, table)
    assert outcome.records()[-1][-1] == "Café"
    assert outcome.exported(p=["0.5"] * 12).endswith("Café,0.5\n")


@pytest.mark.security(22)
def test_utf_8_that_breaks_off_is_refused(refused: Refused, cells: list[list[str]]) -> None:
    wide = [[*row, "é"] for row in cells]
    error = refused(
        text(wide).encode() + b",".join([b"1"] * 31) + b",\xe9x\n", limits=ReadLimits(block=700, record=1000)
    )
    assert "UTF-8" in error.what
    assert error.where == "near row 13"


def test_quoted_cells_may_hold_commas_quotes_and_newlines(
    read: Read, table: np.ndarray, cells: list[list[str]]
) -> None:
    wide = [[*row, '"say ""a, b""\nand\r\n;c"'] for row in cells]
    wide[0][-1] = '"the\nnote"'
    for delimiter in ",;":
        outcome = read(text(wide, delimiter), limits=ReadLimits(block=97))
        assert_same(outcome, table)
        assert outcome.records()[5][-1] == 'say "a, b"\nand\r\n;c'
        assert header_of(outcome.canonical)[-1] == "the\nnote"


def test_everything_in_quotes_is_read_in_place(read: Read, table: np.ndarray, cells: list[list[str]]) -> None:
    outcome = read(text([[f'"{cell}"' for cell in row] for row in cells]), limits=TINY)
    assert_same(outcome, table)
    assert not outcome.copied


def test_a_last_line_without_a_newline_counts(read: Read, table: np.ndarray, cells: list[list[str]]) -> None:
    assert_same(read(text(cells).rstrip("\n")), table)


@pytest.mark.parametrize("tail", ["\n", "\n\n\r\n  \n", " \n \n"])
@pytest.mark.parametrize("block", [8, 4096])
def test_empty_lines_at_the_end_are_no_rows(
    read: Read, table: np.ndarray, cells: list[list[str]], tail: str, block: int
) -> None:
    assert_same(read(text(cells) + tail, limits=ReadLimits(block=block)), table)


def test_old_mac_line_ends_are_read(read: Read, table: np.ndarray, cells: list[list[str]]) -> None:
    assert_same(read(text(cells, end="\r")), table)


@pytest.mark.security(18)
def test_a_sep_line_is_honoured(read: Read, table: np.ndarray, cells: list[list[str]]) -> None:
    outcome = read("sep=;\r\n" + text(cells, ";"))
    assert_same(outcome, table)
    assert header_of(outcome.canonical) == NAMES


def test_gzip_is_read_in_one_or_several_members(
    read: Read, table: np.ndarray, cells: list[list[str]]
) -> None:
    raw = text(cells).encode()
    assert_same(read(gzip.compress(raw), "t.csv.gz", limits=TINY), table)
    outcome = read(gzip.compress(raw[:2000]) + gzip.compress(raw[2000:]) + b"\0" * 9, "t.csv.gz", limits=TINY)
    assert_same(outcome, table)
    assert outcome.canonical.read_bytes() == raw


@pytest.mark.parametrize("blank", ["", " "])
def test_the_label_may_be_missing_blank_or_written_as_words(
    read: Read, cells: list[list[str]], table: np.ndarray, blank: str
) -> None:
    assert read(text([row[:-1] for row in cells])).labels is None
    words = [["0", "1", "true", "FALSE", "1.0", "0.0", blank][at % 7] for at in range(12)]
    rows = [cells[0], *[[*row[:-1], word] for row, word in zip(cells[1:], words, strict=True)]]
    labels = read(text(rows)).labels
    assert labels is not None
    assert labels.tolist() == [[0, 1, 1, 0, 1, 0, -1][at % 7] for at in range(12)]


def test_a_label_of_another_kind_is_ignored_with_a_note(read: Read, cells: list[list[str]]) -> None:
    cells[-1][-1] = "perhaps"
    outcome = read(text(cells), limits=TINY)
    assert outcome.labels is None
    assert len(outcome.notes) == 1
    assert "Column Class" in outcome.notes[0]
    assert not outcome.bad.any()
