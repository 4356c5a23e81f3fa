"""Excel workbooks as canonical CSV. Runs in the converter's process only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import chain, islice
from pathlib import Path
from typing import Any

from screening.errors import BadFile
from screening.intake.batch import ReadLimits
from screening.intake.conversion.zip_contents import check_workbook, counts_from_1904
from screening.intake.formulas import csv_text
from screening.intake.kinds import FileKind

_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
ONE_DAY = timedelta(days=1)
# Up to here a float holds each whole number, so it is written without the point that Excel doesn't show.
WHOLE = 2**53
# So many empty rows, and more of them than rows above, are no gap in a table: what stands below isn't part of
# it.
WIDE_GAP = 1000
MOST_NAMED = 5
ROWS_AT_ONCE = 1000


def to_csv(source: Path, target: Path, kind: FileKind, limits: ReadLimits, wanted: str | None = None) -> bool:
    """Write the one sheet with data, or the one that is ``wanted``, as CSV; numbers so that they read back exactly.

    Gives whether the workbook counts its days from 1904: numbers that aren't dates by their format may be days, too.

    Raises:
        BadFile: it is damaged, encrypted, no workbook, has no sheet or several with data, or formulas without
            values.
        TooLarge: it unpacks to more than ``limits`` allow.
    """
    errors: dict[str, str] = {}
    if kind is FileKind.XLSX:
        check_container(source)
        errors = check_workbook(source, limits)
    import python_calamine

    try:
        book = python_calamine.CalamineWorkbook.from_path(str(source))
        sheets = [
            sheet.name
            for sheet in book.sheets_metadata
            if sheet.typ is python_calamine.SheetTypeEnum.WorkSheet
        ]
        filled = [(name, sheet) for name in sheets if (sheet := book.get_sheet_by_name(name)).height]
    except python_calamine.PasswordError:
        raise encrypted() from None
    except (python_calamine.CalamineError, OSError, ValueError, KeyError) as problem:
        raise BadFile(
            "The workbook is damaged or cut off.", remedy="Open it in Excel, save it again, and send that."
        ) from problem
    if wanted is not None:
        filled = [(name, sheet) for name, sheet in filled if name == wanted]
        if not filled:
            raise BadFile(
                f"The workbook has no sheet “{wanted}” with data.", remedy="Send it as it was downloaded."
            )
    if len(filled) != 1:
        raise not_one_sheet([name for name, _ in filled])
    sheet = filled[0][1]
    with target.open("w", encoding="utf-8", newline="") as out:
        first_column = sheet.start[1] if sheet.start else 0
        shown = with_errors(sheet.iter_rows(), first_column, errors)
        rows = written_rows(shown, first_column)
        while some := list(islice(rows, ROWS_AT_ONCE)):
            out.write(csv_text(some))
    return counts_from_1904(source, kind)


def with_errors(rows: Iterable[list[Any]], first_column: int, errors: dict[str, str]) -> Iterator[list[Any]]:
    """Yield rows with the errors that their cells show, where the parser gives nothing."""
    if not errors:
        yield from rows
        return
    # the parser gives the empty rows above, not the columns beside
    for number, row in enumerate(rows, start=1):
        yield [
            cell if cell != "" else errors.get(f"{column_letters(column)}{number}", "")
            for column, cell in enumerate(row, start=first_column)
        ]


def written_rows(rows: Iterable[list[Any]], first_column: int) -> Iterator[list[Any]]:
    """Yield rows as they are written; empty ones at the end (left by formats or deleted cells) are not.

    Raises:
        BadFile: far below the others, under rows that are empty, stand some more cells.
    """
    numbered = enumerate(rows, start=1)
    filled = empty = 0
    for number, row in numbered:
        if row == [""] * len(row):
            empty += 1
            continue
        if empty > max(WIDE_GAP, filled):
            below = chain([(number, row)], numbered)
            places = list(islice(addresses_of(below, first_column), MOST_NAMED + 1))
            raise far_below(number - empty, number - 1, places)
        yield from ([""] * len(row) for _ in range(empty))
        empty, filled = 0, filled + 1
        yield [_written(cell) for cell in row]


def addresses_of(rows: Iterable[tuple[int, list[Any]]], first_column: int) -> Iterator[str]:
    """Yield the addresses of cells that hold something, as Excel calls them: AE1048576."""
    for number, row in rows:
        for column, cell in enumerate(row, start=first_column):
            if cell != "":
                yield f"{column_letters(column)}{number}"


def column_letters(column: int) -> str:
    """Return a column counted from 0 as Excel calls it: A to Z, AA, AB and so on."""
    before, last = divmod(column, 26)
    return (column_letters(before - 1) if before else "") + chr(ord("A") + last)


def far_below(first: int, last: int, places: list[str]) -> BadFile:
    """Return the error of a sheet with something far below its rows."""
    named = ", ".join(places[:MOST_NAMED]) + (" and others" if len(places) > MOST_NAMED else "")
    verb = "stands" if len(places) == 1 else "stand"
    return BadFile(
        f"Nearly all rows of the sheet are empty: rows {first:,} to {last:,} are, and below them {verb} {named}.",
        where=f"cell {places[0]}",
        remedy="Delete what stands there if it got there by accident, or else the empty rows; save, and send it again.",
    )


def _written(cell: Any) -> Any:
    if type(cell) is float:
        # csv writes floats by repr: exact
        return int(cell) if -WHOLE < cell < WHOLE and cell == int(cell) else cell
    if type(cell) is bool:
        return "true" if cell else "false"
    if isinstance(cell, (datetime, date, time)):
        return cell.isoformat()
    # a moment may be shown as hours since the first day: then it is a number of days
    if isinstance(cell, timedelta):
        return str(cell) if cell < ONE_DAY else cell / ONE_DAY
    return cell


def check_container(source: Path) -> None:
    """Raise :class:`BadFile` for a workbook that is encrypted or an old .xls; what is no workbook passes."""
    with source.open("rb") as file:
        if not file.read(len(_OLE)).startswith(_OLE):
            return
        before = b""
        while piece := file.read(2**20):
            if _ENCRYPTED in before + piece:
                raise encrypted()
            before = piece[-len(_ENCRYPTED) :]
    raise BadFile(
        "The name says an Excel workbook (.xlsx), but the content is an old Excel workbook (.xls).",
        remedy="Send it under its true ending, .xls.",
    )


def encrypted() -> BadFile:
    """Return the error of a workbook that nobody can read without its password."""
    return BadFile(
        "The workbook is encrypted with a password.", remedy="Remove the password in Excel and send it again."
    )


def not_one_sheet(names: list[str]) -> BadFile:
    """Return the error of a workbook that has no sheet with data, or several."""
    if not names:
        return BadFile(
            "The workbook has no sheet with data.", remedy="Send one sheet with a header and transactions."
        )
    shown = ", ".join(name[:40] for name in names[:5])
    return BadFile(
        f"The workbook has {len(names)} sheets with data: {shown}.",
        where=f"sheet {names[1][:40]}",
        remedy="Keep the one with the transactions (look for hidden sheets too), or save it as .csv.",
    )
