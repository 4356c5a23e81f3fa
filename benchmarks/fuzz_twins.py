"""The same payments as a Parquet file or a workbook and as CSV, in thousands of forms, with the same probabilities.

``python -m benchmarks.fuzz_twins --minutes 10`` makes files of random types, encodings and layouts, a part of them
damaged, and prints how many of each kind it made and what came of them. ``--seed`` makes others. A file breaks a rule
where it is read and its CSV twin has other probabilities, where anything but a refusal is raised, or where it takes
more than some seconds of processor time; what broke one is kept below build/fuzz. Where only one of the two is read,
the reason is counted: there is a reason to look at it.

Whole files are converted in this process, where a limit of memory doesn't hide what went wrong. Damaged ones and each
hundredth whole one go through the confined child, as an upload does: parsers allocate what damage tells them to.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import io
import json
import random
import resource
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest.mock import patch
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from pyarrow import parquet as pq
from xlsxwriter import Workbook

from benchmarks.fuzz import Damage
from screening.detectors.registry import Detectors
from screening.errors import ScreeningError
from screening.intake import FileKind, opening
from screening.intake.conversion import parquet, workbook
from screening.intake.conversion.convert import convert
from screening.scoring.thresholds import always
from screening.settings import ROOT, Settings
from screening.uploads.line.order import ScreeningOrder
from screening.uploads.line.screen import screen
from screening.uploads.results import ScreeningOutcome
from screening.uploads.upload_folder import UploadFolder

KEPT = ROOT / "build" / "fuzz"
HEADER = ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT")
MOST_SECONDS = 15.0
DAMAGED = 0.25
CONFINED = 0.01
AMOUNTS = ("12.50", "1070.10", "64.35", "240.00", "5.10", "2500.00", "26.83", "9.99", "0.00", "71.20")
UNITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


@dataclass(frozen=True)
class Made:
    """A file, and the text of its twin; ``None`` where it is damaged and has none."""

    data: bytes
    kind: FileKind
    twin: str | None
    told: str
    """How it was made, for whoever looks at it."""


@dataclass(frozen=True)
class Rows:
    """Payments before they are written."""

    times: list[dt.datetime]
    customers: list[int]
    terminals: list[int]
    amounts: list[Decimal]

    @classmethod
    def drawn(cls, pick: random.Random) -> Rows:
        """Some payments of some weeks."""
        count = pick.choice((1, 2, 9, 30, 30, 30, 120))
        step = dt.timedelta(hours=pick.randint(1, 30), seconds=pick.randint(0, 3599))
        day = dt.date(pick.randint(2018, 2027), pick.randint(1, 12), pick.randint(1, 28))
        start = dt.datetime.combine(day, dt.time(7, 30, 44))  # cells have no zone
        return cls(
            [start + number * step for number in range(count)],
            [pick.randint(1, 9999) for _ in range(count)],
            [pick.randint(1, 400) for _ in range(count)],
            [Decimal(pick.choice(AMOUNTS)) for _ in range(count)],
        )


Column = tuple[Any, list[str]]
"""What is written, and the cells of the twin."""


class Parquets:
    """Parquet files."""

    def __init__(self, damage: Damage) -> None:
        self._damage, self._pick = damage, damage.pick

    def make(self) -> Made:
        """Return a file."""
        pick, rows = self._pick, Rows.drawn(self._pick)
        columns, cells, told = [], [], []
        draws: list[Callable[[], Column]] = [
            lambda: self._time(rows.times),
            lambda: self._ids(rows.customers),
            lambda: self._ids(rows.terminals),
            lambda: self._amounts(rows.amounts),
        ]
        for name, draw in zip(HEADER, draws, strict=True):
            made, texts = draw()
            made, texts = self._maybe_blank(made, texts)
            columns.append(made)
            cells.append(texts)
            told.append(f"{name}: {made.type}")
        names = list(HEADER)
        if pick.random() < 0.3:
            extra = self._extra(len(rows.times))
            at = pick.randrange(len(names) + 1)
            names.insert(at, "more")
            columns.insert(at, extra)
            cells.insert(at, ["x"] * len(rows.times))
            told.append(f"more: {extra.type}")
        out = io.BytesIO()
        options: dict[str, Any] = {
            "version": pick.choice(("1.0", "2.4", "2.6")),
            "compression": pick.choice(("none", "snappy", "gzip", "zstd", "lz4", "brotli")),
            "row_group_size": pick.choice((1, 7, 1000, 2**20)),
            "use_dictionary": pick.random() < 0.5,
            "data_page_version": pick.choice(("1.0", "2.0")),
            "data_page_size": pick.choice((1, 64, 2**20)),
            "store_schema": pick.random() < 0.7,
            "write_statistics": pick.random() < 0.5,
            "use_deprecated_int96_timestamps": pick.random() < 0.15,
        }
        pq.write_table(pa.Table.from_arrays(columns, names=names), out, **options)
        data, twin = out.getvalue(), _text(names, cells)
        if pick.random() < DAMAGED:
            return Made(self._damage.any_bytes(data), FileKind.PARQUET, None, "damaged")
        return Made(data, FileKind.PARQUET, twin, f"{'; '.join(told)}; {options}")

    def _maybe_blank(self, column: pa.Array, texts: list[str]) -> Column:
        if self._pick.random() > 0.05:
            return column, texts
        at = self._pick.randrange(len(texts))
        values = column.to_pylist()
        values[at] = None
        try:
            return pa.array(values, column.type), [*texts[:at], "", *texts[at + 1 :]]
        except (pa.ArrowException, TypeError, ValueError):
            return column, texts

    def _time(self, times: list[dt.datetime]) -> Column:
        pick, iso = self._pick, [f"{each:%Y-%m-%d %H:%M:%S}" for each in times]
        seconds = [int(each.replace(tzinfo=dt.UTC).timestamp()) for each in times]
        way = pick.randrange(9)
        if way <= 2:
            unit, zone = (
                pick.choice(tuple(UNITS)),
                pick.choice((None, "UTC", "Europe/Berlin", "+05:30", "America/New_York")),
            )
            if zone is not None:
                return pa.array(
                    [each * 10 ** UNITS[unit] for each in seconds], pa.timestamp(unit, tz=zone)
                ), [f"{each}Z" for each in iso]
            return pa.array(times, pa.timestamp(unit)), iso
        if way == 3:
            kind = pick.choice(
                (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.string_view())
            )
            return pa.array(iso, kind), iso
        if way == 4:
            unit = pick.choice(tuple(UNITS))
            counted = [each * 10 ** UNITS[unit] for each in seconds]
            return pa.array(counted, pa.int64()), list(map(str, counted))
        if way == 5:
            days = [each.date() for each in times]
            return pa.array(days, pick.choice((pa.date32(), pa.date64()))), [
                each.isoformat() for each in days
            ]
        if way == 6:
            return pa.array(list(map(float, seconds)), pa.float64()), list(map(str, seconds))
        if way == 7:
            moved = [each + dt.timedelta(microseconds=250_000) for each in times]
            unit = pick.choice(("ms", "us", "ns"))
            return pa.array(moved, pa.timestamp(unit)), [f"{each:%Y-%m-%d %H:%M:%S.%f}" for each in moved]
        berlin = ZoneInfo("Europe/Berlin")
        texts = [each.replace(tzinfo=dt.UTC).astimezone(berlin).isoformat() for each in times]
        return pa.array(texts, pa.string()), [f"{each}Z" for each in iso]

    def _ids(self, ids: list[int]) -> Column:
        pick, texts = self._pick, list(map(str, ids))
        kind: Any = pick.choice(
            (
                *(pa.int16(), pa.int32(), pa.int64(), pa.uint16(), pa.uint32(), pa.uint64(), pa.float64()),
                *(pa.float32(), pa.string(), pa.large_string(), pa.string_view()),
                pa.dictionary(pa.int32(), pa.string()),
                pa.dictionary(pa.int8(), pa.int64()) if len(set(ids)) < 100 else pa.int64(),
                pa.decimal128(10, 0),
                pa.decimal128(12, 2),
                "padded",
                "long",
            )
        )
        if kind == "padded":
            texts = [f"{each:08d}" for each in ids]
            return pa.array(texts, pa.string()), texts
        if kind == "long":
            longer = [each + 10**15 * 8 for each in ids]
            return pa.array(longer, pa.int64()), list(map(str, longer))
        values: Sequence[Any] = texts if "string" in str(kind) else ids
        if pa.types.is_decimal(kind):
            values = [Decimal(each) for each in ids]
        if pa.types.is_dictionary(kind) and pa.types.is_integer(kind.value_type):
            return pa.array(ids, pa.int64()).dictionary_encode().cast(kind), texts
        return pa.array(values, kind), texts

    def _amounts(self, amounts: list[Decimal]) -> Column:
        pick, texts = self._pick, list(map(str, amounts))
        way = pick.randrange(9)
        if way <= 1:
            return pa.array(list(map(float, amounts)), pa.float64()), texts
        if way == 2:
            narrow = pa.float32() if pick.random() < 0.5 else pa.float16()
            stored = [np.float32(each) if narrow == pa.float32() else np.float16(each) for each in amounts]
            return pa.array(stored, narrow), [repr(float(each)) for each in stored]
        if way == 3:
            kind = pick.choice(
                (
                    pa.decimal128(12, 2),
                    pa.decimal256(50, 2),
                    pa.decimal128(20, 6),
                    pa.decimal32(9, 2),
                    pa.decimal64(18, 4),
                )
            )
            return pa.array(amounts, kind), texts
        if way == 4:
            return pa.array(texts, pick.choice((pa.string(), pa.large_string(), pa.string_view()))), texts
        if way == 5:
            german = [f"{each:,.2f}".translate(str.maketrans(",.", ".,")) for each in amounts]
            return pa.array(german, pa.string()), german
        if way == 6:
            return pa.array(texts, pa.string()).dictionary_encode(), texts
        if way == 7:
            return pa.array(list(map(float, amounts)), pa.float64()).dictionary_encode(), texts
        whole = [int(each) for each in amounts]
        return pa.array(whole, pick.choice((pa.int16(), pa.int32(), pa.int64(), pa.uint32()))), list(
            map(str, whole)
        )

    def _extra(self, count: int) -> pa.Array:
        """A column that nobody needs."""
        kind, value = self._pick.choice(
            (
                (pa.list_(pa.int64()), [1, 2]),
                (pa.struct([("a", pa.int64())]), {"a": 1}),
                (pa.map_(pa.string(), pa.int64()), [("a", 1)]),
                (pa.null(), None),
                (pa.bool_(), True),
                (pa.duration("us"), dt.timedelta(seconds=3)),
                (pa.time32("s"), dt.time(7, 59)),
                (pa.time64("us"), dt.time(7, 59)),
                (pa.binary(), b"\0\1"),
                (pa.large_binary(), b"\0\1"),
                (pa.binary(4), b"\0\1\2\3"),
                (pa.binary_view(), b"\0"),
                (pa.string(), 'a, "b"\n;'),
                (pa.string(), "=1+1"),
                (pa.decimal128(38, 10), Decimal("1.5")),
                (pa.float16(), np.float16(1)),
                (pa.uuid(), b"\0" * 16),
                (pa.json_(), "{}"),
                (pa.large_list(pa.string()), ["a"]),
                (pa.list_(pa.int8(), 2), [1, 2]),
            )
        )
        if isinstance(kind, pa.ExtensionType):
            return pa.ExtensionArray.from_storage(kind, pa.array([value] * count, kind.storage_type))
        return pa.array([value] * count, kind)


class Workbooks:
    """.xlsx files, as xlsxwriter writes them."""

    FORMATS = (
        "yyyy-mm-dd hh:mm:ss", "dd.mm.yyyy hh:mm:ss", "m/d/yy h:mm", "mmm d, yyyy", "[$-409]d-mmm-yy;@", "dd/mm/yyyy",
        "hh:mm:ss", "yyyy", "[hh]:mm:ss", '"Datum:" dd.mm.yyyy', "General",
    )  # fmt: skip
    MONEY = (
        "General", "0.00", "#,##0.00 [$€-407]", "0", "0%", "0.00E+00", "$#,##0.00;[Red]($#,##0.00)", "# ?/?", "@",
        '0.00" d"', "_-* #,##0.00 _€_-",
    )  # fmt: skip

    def __init__(self, damage: Damage) -> None:
        self._damage, self._pick = damage, damage.pick

    def make(self) -> Made:
        """Return a file."""
        pick, rows = self._pick, Rows.drawn(self._pick)
        out = io.BytesIO()
        since_1904 = pick.random() < 0.25
        inline = pick.random() < 0.3
        told = [f"1904: {since_1904}", f"inline: {inline}"]
        with Workbook(
            out,
            {
                "in_memory": not inline,
                "constant_memory": inline,
                "date_1904": since_1904,
                "default_date_format": pick.choice(self.FORMATS[:2]),
                "strings_to_numbers": False,
            },
        ) as book:
            twin = self._sheets(book, rows, told, inline=inline)
        data = out.getvalue()
        if pick.random() < DAMAGED:
            return Made(self._damage.any_bytes(data), FileKind.XLSX, None, "damaged")
        return Made(data, FileKind.XLSX, twin, "; ".join(told))

    def _sheets(self, book: Workbook, rows: Rows, told: list[str], *, inline: bool) -> str:
        pick = self._pick
        if pick.random() < 0.2:
            hidden = book.add_worksheet("leer")
            if pick.random() < 0.5:
                hidden.hide()
            told.append("an empty sheet")
        sheet = book.add_worksheet(pick.choice(("Daten", "Sheet 1", "a'b", "日本")))
        sheet.activate()
        top, left = pick.choice((0, 0, 0, 1, 3)), pick.choice((0, 0, 0, 1, 2))
        told.append(f"at {top}, {left}")
        columns = [
            self._times(book, rows.times, told),
            self._ids(rows.customers, told),
            self._ids(rows.terminals, told),
            self._amounts(book, rows.amounts, told),
        ]
        for x, name in enumerate(HEADER):
            sheet.write_string(top, left + x, name)
        for y in range(len(rows.times)):
            for x, (write, _) in enumerate(columns):
                write(sheet, top + 1 + y, left + x, y)
        self._around(book, sheet, (top, left, len(rows.times)), told, inline=inline)
        if pick.random() < 0.1:
            book.add_worksheet("hidden").hide()
        return _text(HEADER, [texts for _, texts in columns])

    def _around(
        self, book: Workbook, sheet: Any, place: tuple[int, int, int], told: list[str], *, inline: bool
    ) -> None:
        """What a sheet has beside its cells, which begin in a row and a column and are so many rows."""
        pick, (top, left, count) = self._pick, place
        if pick.random() < 0.3 and not inline:
            sheet.merge_range(top, left + 5, top + 2, left + 6, "")
            told.append("merged, blank")
        if pick.random() < 0.2:
            sheet.set_row(top + 1, None, None, {"hidden": True})
        if pick.random() < 0.2:
            sheet.set_column(left, left, 20, None, {"hidden": True})
        if pick.random() < 0.2:
            sheet.autofilter(top, left, top + count, left + 3)
        if pick.random() < 0.2:
            sheet.freeze_panes(top + 1, 0)
        if pick.random() < 0.2 and not inline:
            for y in range(pick.choice((3, 2000))):
                sheet.write_blank(top + 1 + count + y, left, None, book.add_format({"bold": True}))
            told.append("formatted blanks below")
        if pick.random() < 0.1:
            sheet.write_comment(top, left, "a remark")
        if pick.random() < 0.1:
            book.add_chartsheet()
            told.append("a sheet of a chart")

    def _times(self, book: Workbook, times: list[dt.datetime], told: list[str]) -> tuple[Any, list[str]]:
        pick, iso = self._pick, [f"{each:%Y-%m-%d %H:%M:%S}" for each in times]
        way = pick.randrange(4)
        if way <= 1:
            shown = pick.choice(self.FORMATS)
            told.append(f"times as {shown}")
            form = book.add_format({"num_format": shown})
            return lambda sheet, y, x, at: sheet.write_datetime(y, x, times[at], form), iso
        if way == 2:
            told.append("times as texts")
            return lambda sheet, y, x, at: sheet.write_string(y, x, iso[at]), iso
        days = [dt.datetime.combine(each.date(), dt.time()) for each in times]
        form = book.add_format({"num_format": "dd.mm.yyyy"})
        told.append("days")
        return lambda sheet, y, x, at: sheet.write_datetime(y, x, days[at], form), [
            f"{each:%Y-%m-%d}" for each in days
        ]

    def _ids(self, ids: list[int], told: list[str]) -> tuple[Any, list[str]]:
        way, texts = self._pick.randrange(4), list(map(str, ids))
        told.append(f"ids {way}")
        if way == 0:
            return lambda sheet, y, x, at: sheet.write_number(y, x, ids[at]), texts
        if way == 1:
            padded = [f"{each:07d}" for each in ids]
            return lambda sheet, y, x, at: sheet.write_string(y, x, padded[at]), padded
        if way == 2:
            return (
                lambda sheet, y, x, at: sheet.write_formula(y, x, f"={ids[at]}", None, ids[at]),
                texts,
            )
        return lambda sheet, y, x, at: sheet.write_string(y, x, texts[at]), texts

    def _amounts(self, book: Workbook, amounts: list[Decimal], told: list[str]) -> tuple[Any, list[str]]:
        pick, texts = self._pick, list(map(str, amounts))
        way = pick.randrange(6)
        told.append(f"amounts {way}")
        if way <= 1:
            shown = pick.choice(self.MONEY)
            told.append(shown)
            form = book.add_format({"num_format": shown})
            return lambda sheet, y, x, at: sheet.write_number(y, x, float(amounts[at]), form), texts
        if way == 2:
            return (
                lambda sheet, y, x, at: sheet.write_formula(
                    y, x, f"=A1*{amounts[at]}", None, float(amounts[at])
                ),
                texts,
            )
        if way == 3:
            return lambda sheet, y, x, at: sheet.write_string(y, x, texts[at]), texts
        if way == 4:
            german = [f"{each:,.2f}".translate(str.maketrans(",.", ".,")) for each in amounts]
            return lambda sheet, y, x, at: sheet.write_string(y, x, german[at]), german
        mixed = [pick.random() < 0.5 for _ in amounts]
        return (
            lambda sheet, y, x, at: (
                sheet.write_string(y, x, texts[at])
                if mixed[at]
                else sheet.write_number(y, x, float(amounts[at]))
            ),
            texts,
        )


class OldWorkbooks:
    """.xls files: records of BIFF 5 in a compound file."""

    def __init__(self, damage: Damage) -> None:
        from tests.screening.intake.test_intake_workbooks import compound, record

        self._damage, self._pick = damage, damage.pick
        self._compound, self._record = compound, record

    def make(self) -> Made:
        """Return a file."""
        pick, rows, record = self._pick, Rows.drawn(self._pick), self._record
        since_1904 = pick.random() < 0.3
        epoch = dt.datetime.fromisoformat("1904-01-01" if since_1904 else "1899-12-30")
        iso = [f"{each:%Y-%m-%d %H:%M:%S}" for each in rows.times]
        dated = pick.random() < 0.6
        days: list[Any] = [(each - epoch) / dt.timedelta(days=1) for each in rows.times]
        columns: list[list[Any]] = [
            days if dated else list(iso),
            list(rows.customers),
            [str(each) for each in rows.terminals],
            list(map(float, rows.amounts)),
        ]
        begin = record(0x0809, struct.pack("<HHHH", 0x0500, 0x0005, 0, 0))
        begin += record(0x0022, struct.pack("<H", since_1904)) + record(0x000E, b"\1\0")
        # two formats of cells: general, and a date and time (22)
        begin += record(0x00E0, struct.pack("<HHH", 0, 0, 0) + b"\0" * 10)
        begin += record(0x00E0, struct.pack("<HHH", 0, 22, 0) + b"\0" * 10)
        name = record(0x0085, struct.pack("<IHB", len(begin) + 4 + 13 + 4, 0, 6) + b"Sheet1")
        sheet = [record(0x0809, struct.pack("<HHHH", 0x0500, 0x0010, 0, 0))]
        sheet.append(record(0x0200, struct.pack("<HHHHH", 0, len(iso) + 1, 0, 4, 0)))
        for x, text in enumerate(HEADER):
            sheet.append(self._string(0, x, text))
        for y in range(len(iso)):
            for x, column in enumerate(columns):
                form = 1 if x == 0 and dated else 0
                sheet.append(self._cell(y + 1, x, column[y], form))
        data = self._compound(b"".join([begin, name, record(0x000A), *sheet, record(0x000A)]))
        if pick.random() < 0.5:
            return Made(self._damage.any_bytes(data), FileKind.XLS, None, "damaged")
        twin = _text(
            HEADER,
            [
                iso,
                list(map(str, rows.customers)),
                list(map(str, rows.terminals)),
                list(map(str, rows.amounts)),
            ],
        )
        return Made(data, FileKind.XLS, twin, f"1904: {since_1904}; dated: {dated}")

    def _string(self, y: int, x: int, text: str) -> bytes:
        return bytes(self._record(0x0204, struct.pack("<HHHH", y, x, 0, len(text)) + text.encode()))

    def _cell(self, y: int, x: int, value: Any, form: int) -> bytes:
        if isinstance(value, str):
            return self._string(y, x, value)
        way = self._pick.randrange(4)
        if way == 0 and float(value).is_integer() and abs(value) < 2**29:
            packed = struct.pack("<HHHi", y, x, form, int(value) << 2 | 2)
            return bytes(self._record(0x027E, packed))
        hundred = round(float(value) * 100)
        if way == 1 and hundred / 100 == value and abs(hundred) < 2**29:
            return bytes(self._record(0x027E, struct.pack("<HHHi", y, x, form, hundred << 2 | 3)))
        if way == 2:  # a formula that is the number 1, with another value
            body = struct.pack("<HHHdHIH", y, x, form, float(value), 0, 0, 3) + b"\x1e\1\0"
            return bytes(self._record(0x0006, body))
        return bytes(self._record(0x0203, struct.pack("<HHHd", y, x, form, float(value))))


def _text(names: Sequence[str], columns: Sequence[Sequence[str]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(zip(*columns, strict=True))
    return out.getvalue()


class Screens:
    """Screens files by the detector of payments."""

    def __init__(self, folder: Path, pick: random.Random) -> None:
        self._folder, self._pick = folder, pick
        self._detectors = Detectors(Settings(instance=folder / "detectors"))
        self._number = 0

    def take(self, data: bytes, kind: FileKind, *, damaged: bool = False) -> Any:
        """Return the probabilities, (rows,), or the refusal."""
        self._number += 1
        folder = UploadFolder(self._folder, f"{self._number:032x}")
        folder.create()
        folder.input.write_bytes(data)
        folder.complete()
        confined = self._pick.random() < CONFINED or damaged
        way = convert if confined else _convert_here
        try:
            with patch.object(opening, "convert", way):
                screen(folder, kind, self._detectors, ScreeningOrder(limits=always(0.8), set_aside=True))
            return np.array(ScreeningOutcome(folder, 0.8).probability)
        except ScreeningError as problem:
            if not problem.what:
                raise
            return problem
        finally:
            for each in folder.path.iterdir():
                each.unlink()
            folder.path.rmdir()


def _convert_here(
    source: Path, kind: FileKind, target: Path, limits: Any, _waiting: Callable[[], None] = lambda: None
) -> bool:
    if kind is FileKind.PARQUET:
        parquet.to_csv(source, target, limits)
        return False
    return workbook.to_csv(source, target, kind, limits)


def run(minutes: float, seed: int, only: str) -> int:
    """Go through the kinds in turn until the time is up."""
    damage = Damage(seed)
    makers: dict[str, Any] = {
        "parquet": Parquets(damage),
        "xlsx": Workbooks(damage),
        "xls": OldWorkbooks(damage),
    }
    wanted = only.split(",") if only else list(makers)
    seen = {name: Counter[str]() for name in wanted}
    kept: dict[str, str] = {}
    ends = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory(prefix="twins-") as name:
        screens = Screens(Path(name), damage.pick)
        while time.monotonic() < ends:
            for kind in wanted:
                made = makers[kind].make()
                began = _spent()
                try:
                    outcome = _judge(screens, made)
                    if _spent() - began > MOST_SECONDS:
                        outcome = "BROKEN: too slow"
                except Exception as problem:  # noqa: BLE001  that is what is looked for
                    place = traceback.extract_tb(problem.__traceback__)[-1]
                    outcome = (
                        f"BROKEN: {type(problem).__name__} at {Path(place.filename).name}:{place.lineno}"
                    )
                seen[kind][outcome] += 1
                if ("BROKEN" in outcome or "alone" in outcome) and outcome not in kept:
                    kept[outcome] = _keep(kind, made)
            if sum(map(sum, (each.values() for each in seen.values()))) % 300 < len(wanted):
                _tell(seen, kept)
    _tell(seen, kept)
    return int(any("BROKEN" in outcome for outcome in kept))


def _spent() -> float:
    """Return the seconds of processor time of this process and its children: others may need the machine, too."""
    both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


def _judge(screens: Screens, made: Made) -> str:
    found = screens.take(made.data, made.kind, damaged=made.twin is None)
    if made.twin is None:
        return "damaged: refused" if isinstance(found, ScreeningError) else "damaged: read"
    twin = screens.take(made.twin.encode(), FileKind.CSV)
    if isinstance(found, ScreeningError) and isinstance(twin, ScreeningError):
        return "both refused"
    if isinstance(found, ScreeningError):
        return f"refused alone: {_plain(found.what)}"
    if isinstance(twin, ScreeningError):
        return f"read alone: {_plain(twin.what)}"
    if np.array_equal(found, twin, equal_nan=True):
        return "the same"
    return f"BROKEN: other probabilities: {made.told[:160]}"


def _plain(words: str) -> str:
    return "".join("9" if char.isdigit() else char for char in words)[:90]


def _keep(kind: str, made: Made) -> str:
    KEPT.mkdir(parents=True, exist_ok=True)
    file = KEPT / f"twin-{kind}-{abs(hash(made.data)) % 10**10}"
    file.write_bytes(made.data)
    file.with_suffix(".csv").write_text(made.twin or "", encoding="utf-8")
    file.with_suffix(".txt").write_text(f"{made.told}\n{traceback.format_exc()}", encoding="utf-8")
    return file.name


def _tell(seen: dict[str, Counter[str]], kept: dict[str, str]) -> None:
    for kind, counts in seen.items():
        print(
            f"{kind}: {sum(counts.values()):,}",
            *(f"{n:>6} {what}" for what, n in counts.most_common()),
            sep="\n  ",
        )
    print(json.dumps(kept, indent=1), flush=True)


def main() -> int:
    """Read the options and run."""
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--minutes", type=float, default=5.0)
    wanted.add_argument("--seed", type=int, default=1)
    wanted.add_argument("--only", default="")
    given = wanted.parse_args()
    return run(given.minutes, given.seed, given.only)


if __name__ == "__main__":
    sys.exit(main())
