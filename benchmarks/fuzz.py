"""Damaged input, by the thousand, at every door: files, JSON, requests, users.txt and what the database keeps.

``python -m benchmarks.fuzz --minutes 10`` goes through all targets in turn and prints how many inputs each took and
what came of them. ``--only text,parquet`` chooses targets, ``--seed`` another stream of damage. What breaks a rule is
kept below build/fuzz with the traceback, and the exit status is 1.

The rule of a file: it is refused with an error of ours, or it gives rows whose probabilities are finite, and a row
that the damage has not touched gives the numbers that it gave before. Any other exception, more than some seconds or
more than some hundred megabytes break it.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import random
import re
import resource
import socket
import sqlite3
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from screening.accounts.users_text import Account, UsersText
from screening.detectors.detector import Detector
from screening.detectors.registry import Detectors
from screening.errors import ScreeningError
from screening.intake import Batch, FileKind, Forms, look_over, open_transactions, read_records, settled
from screening.scoring.score import score
from screening.settings import ROOT, Settings
from screening.transactions.schema import CARD, Transactions

KEPT = ROOT / "build" / "fuzz"
ROWS = 40
MOST_SECONDS = 20.0
MOST_GROWTH = 600
"""Megabytes that this process may grow by all in all: what it reads are some kilobytes."""
TOKENS = (
    b"", b",", b";", b"\t", b'"', b"'", b"\n", b"\r", b"\r\n", b"\0", b"-", b"+", b"0", b"1e400", b"1e39", b"nan",
    b"NaN", b"inf", b"-inf", b"1_000", b"0x10", b"1,5", b"1.234,5", b"1,234", b"12%", b"$1", b"(12)", b"=1+1",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xe2\x88\x92" + b"1", b"\xd9\xa1", b"\xc2\xa0", b"2025-01-02", b"true",
    b"Class", b"Time", b"V1",
    b"9" * 400, b"#", b"sep=;", b'""', b"a" * 9000, b"4111111111111111",
)  # fmt: skip
JSON_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1e308, -1e308, 1e39, 1e-320, "", "1", "nan", "x" * 1000, [], {}, [[]], {"a": 1}, 10**39,
    "2025-01-02", "\ud800", "\0",
)  # fmt: skip


FORM = "application/x-www-form-urlencoded"
ODD_XML = (
    b'<c r="A1" t="s"><v>99999</v></c>', b'<c t="e"><v>#N/A</v></c>', b"<row r='0'>", b"<![CDATA[1]]>",
    b'<c r="XFD1048576"><v>1</v></c>', b"<f>1+1</f>", b"&#0;", b"&a;",
)  # fmt: skip


class Broken(Exception):
    """A rule was broken."""


class Damage:
    """A stream of changes to bytes and structures, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.pick = random.Random(seed)

    def any_bytes(self, data: bytes) -> bytes:
        """Some changes: flips, tokens put in or over, parts cut, doubled, moved; seldom many, mostly one."""
        out = bytearray(data)
        for _ in range(1 if self.pick.random() < 0.6 else self.pick.randint(2, 8)):
            at, way = self.pick.randrange(len(out) + 1), self.pick.randrange(8)
            end = min(len(out), at + self.pick.choice((1, 2, 4, 16, 200, 3000)))
            token = self.pick.choice(TOKENS)
            if way == 0 and at < len(out):
                out[at] ^= 1 << self.pick.randrange(8)
            elif way == 1:
                out[at:at] = token
            elif way == 2:
                out[at : at + len(token)] = token
            elif way == 3:
                del out[at:end]
            elif way == 4:
                out[at:at] = out[at:end]
            elif way == 5:
                part = out[at:end]
                del out[at:end]
                to = self.pick.randrange(len(out) + 1)
                out[to:to] = part
            elif way == 6:
                del out[at:]
            else:
                out[at:end] = self.pick.randbytes(end - at)
        return bytes(out)

    def cells(self, text: bytes) -> bytes:  # noqa: C901  one way after the other
        """A cell, a column or a line of a table changed as a whole."""
        lines = [line.split(b",") for line in text.split(b"\n")]
        row, token = self.pick.randrange(len(lines)), self.pick.choice(TOKENS)
        column, way = self.pick.randrange(len(lines[row])), self.pick.randrange(7)
        if way == 0:
            lines[row][column] = token
        elif way == 1:
            for line in lines[1:]:
                if column < len(line):
                    line[column] = token
        elif way == 2:
            lines[row].insert(column, token)
        elif way == 3:
            del lines[row][column]
        elif way == 4:
            lines.insert(self.pick.randrange(len(lines)), list(lines[row]))
        elif way == 5:
            self.pick.shuffle(lines[row])
        else:
            mark = self.pick.choice((b".", b",", b" ", b"'"))
            for line in lines[1:]:
                if column < len(line):
                    line[column] = line[column].replace(b".", mark)
        return b"\n".join(b",".join(line) for line in lines)

    def json(self, value: Any, depth: int = 0) -> Any:
        """A tree with one branch or leaf changed."""
        if depth > 4 or self.pick.random() < 0.25 or not isinstance(value, dict | list) or not value:
            return self.pick.choice(JSON_VALUES)
        if isinstance(value, list):
            place = self.pick.randrange(len(value))
            return [self.json(each, depth + 1) if i == place else each for i, each in enumerate(value)]
        name = self.pick.choice(list(value))
        changed = {**value, name: self.json(value[name], depth + 1)}
        if self.pick.random() < 0.2:
            del changed[name]
        if self.pick.random() < 0.1:
            changed[self.pick.choice(("", "x", "Time", "__proto__", "V1 "))] = self.pick.choice(JSON_VALUES)
        return changed


class Reference:
    """A table of the card data as text, and what each of its records must give."""

    def __init__(self, detector: Detector) -> None:
        lines = (ROOT / "transactions_data.csv").read_bytes().splitlines()[: ROWS + 1]
        self.text = b"\n".join(lines) + b"\n"
        self.frame = pd.read_csv(io.BytesIO(self.text))
        self.detector = detector
        self.header = tuple(lines[0].decode().split(","))
        self.values = self.frame[list(CARD.columns)].to_numpy(np.float64)
        self.by_cells = {
            tuple(line.decode().split(",")): row for line, row in zip(lines[1:], self.values, strict=True)
        }

    def check(
        self, values: NDArray[Any], bad: NDArray[Any], records: list[list[str]], header: list[str]
    ) -> None:
        """Raise :class:`Broken` where the rule of a file is."""
        found = Transactions(CARD.columns, values[~bad])
        if len(found):
            with suppress(ScreeningError):  # too extreme for the net: refused by name
                probabilities = score(found, self.detector, threshold=0.8, explain=False).probabilities
                if not np.isfinite(probabilities).all():
                    raise Broken("a probability isn't finite")
        if tuple(header) != self.header:
            return
        for record, row, is_bad in zip(records, values, bad, strict=True):
            wanted = self.by_cells.get(tuple(record))
            if wanted is not None and not is_bad and not np.array_equal(wanted, row):
                raise Broken(f"a row that wasn't touched is read otherwise: {record[:4]} as {row[:4]}")


class Intake:
    """One kind of file."""

    def __init__(self, reference: Reference, kind: FileKind, folder: Path, damage: Damage) -> None:
        self._reference, self._kind, self._damage = reference, kind, damage
        self._input, self._copy = folder / f"input-{kind}", folder / f"copy-{kind}"
        make = {
            FileKind.CSV: lambda: reference.text,
            FileKind.CSV_GZ: lambda: gzip.compress(reference.text, mtime=0),
            FileKind.PARQUET: lambda: _parquet(reference.frame),
            FileKind.XLSX: lambda: _workbook(reference.frame),
        }
        self._whole = make[kind]()

    def inputs(self) -> Iterator[bytes]:
        """Damaged files without an end."""
        pick = self._damage.pick
        while True:
            if self._kind is FileKind.XLSX and pick.random() < 0.8:
                yield self._members()
            elif self._kind is FileKind.CSV_GZ and pick.random() < 0.5:
                yield gzip.compress(self._text(), mtime=0)
            elif self._kind is FileKind.PARQUET and pick.random() < 0.3:
                yield self._odd_parquet()
            else:
                yield self._text() if self._kind is FileKind.CSV else self._damage.any_bytes(self._whole)

    def _text(self) -> bytes:
        way = self._damage.cells if self._damage.pick.random() < 0.5 else self._damage.any_bytes
        text = way(self._reference.text)
        if self._damage.pick.random() < 0.1:
            coding = self._damage.pick.choice(("utf-16", "utf-16-le", "cp1252", "utf-8-sig"))
            text = text.decode("utf-8", "replace").encode(coding, "replace")
        if self._damage.pick.random() < 0.1:
            text = text.replace(b",", self._damage.pick.choice((b";", b"\t", b"|", b", ")))
        if self._damage.pick.random() < 0.1:  # files that were put together
            text += self._damage.pick.choice((b"", b"\xef\xbb\xbf", b"\n", b",,,,\n")) + self._reference.text
        return text

    def _members(self) -> bytes:
        """A workbook with one member's text, name, or the list of members damaged."""
        pick, out = self._damage.pick, io.BytesIO()
        with (
            zipfile.ZipFile(io.BytesIO(self._whole)) as old,
            zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            names = old.namelist()
            chosen, way = pick.choice(names), pick.randrange(6)
            for name in names:
                text = old.read(name)
                if name == chosen and way < 4:
                    text = self._xml(text) if way else self._damage.any_bytes(text)
                if name == chosen and way == 4:
                    continue
                new.writestr(name if name != chosen or way != 5 else name.swapcase(), text)
        return out.getvalue()

    def _xml(self, text: bytes) -> bytes:
        """Tags, attributes or values exchanged."""
        pick = self._damage.pick
        parts = re.split(rb"(<[^>]*>)", text)
        for _ in range(pick.randint(1, 4)):
            at = pick.randrange(len(parts))
            way = pick.randrange(5)
            if way == 0:
                parts[at] = pick.choice(parts)
            elif way == 1:
                parts[at] = b""
            elif way == 2:
                parts[at] = re.sub(
                    rb'"[^"]*"', b'"' + pick.choice(TOKENS).replace(b'"', b"") + b'"', parts[at], count=1
                )
            elif way == 3:
                parts[at] = pick.choice(ODD_XML)
            else:
                parts[at] *= 2
        return b"".join(parts)

    def _odd_parquet(self) -> bytes:
        """Another type, a null, a nested or a nameless column."""
        pick, frame = self._damage.pick, self._reference.frame.copy()
        name = pick.choice(list(frame.columns))
        way = pick.randrange(7)
        if way == 0:
            frame[name] = frame[name].astype(pick.choice(("str", "float32", "bool", "category")))
        elif way == 1:
            frame.loc[pick.randrange(len(frame)), name] = np.nan
        elif way == 2:
            frame[name] = [[1.0]] * len(frame)
        elif way == 3:
            frame = frame.rename(columns={name: pick.choice(("", "V1", " ", "a\nb", 'a"b', "Time "))})
        elif way == 4:
            frame[name] = [pick.choice(("1,5", "x", "", "1e999", "=1", "1")) for _ in range(len(frame))]
        elif way == 5:
            frame[name] = pd.to_datetime(frame["Time"], unit="s")
        else:
            frame = frame.iloc[:0]
        with suppress(Exception):
            return _parquet(frame)
        return self._damage.any_bytes(self._whole)

    def take(self, data: bytes) -> str:
        """Read one file as an upload is read. Gives what came of it.

        Raises:
            Broken: a rule was.
        """
        self._input.write_bytes(data)
        try:
            batches = settled(self._read, lambda: look_over(self._input, self._kind, lambda _: CARD))
        except ScreeningError as problem:
            if not problem.what:
                raise Broken("a refusal says nothing") from None
            if self._copy.exists():
                raise Broken("a refusal left a copy") from None
            return type(problem).__name__
        canonical = self._copy if batches[0].copied else self._input
        offsets = np.concatenate([batch.offsets for batch in batches])
        records = read_records(canonical, offsets, range(len(offsets)))
        with canonical.open("rb") as file:
            header = file.readline().decode("utf-8-sig", "replace").rstrip("\r\n").split(",")
        values = np.concatenate([batch.transactions.values for batch in batches])  # noqa: PD011
        self._reference.check(values, np.concatenate([batch.bad for batch in batches]), records, header)
        return "accepted"

    def _read(self, forms: Forms | None) -> list[Batch]:
        set_aside = self._damage.pick.random() < 0.5
        return list(
            open_transactions(
                self._input,
                self._kind,
                lambda _: CARD,
                set_aside=set_aside,
                canonical=self._copy,
                forms=forms,
            )
        )


class Users:
    """users.txt: parsing never fails, gives back its bytes, and accounts of untouched lines stay."""

    def __init__(self, damage: Damage) -> None:
        self._damage = damage
        hashed = "scrypt:32768:8:3$abcdefghijklmnop$" + "0" * 128
        lines = [f"user{i},user{i}@bank.example,{hashed},analyst,active" for i in range(8)]
        self._text = ("# accounts\n" + "\n".join(lines) + "\n\nold,old@bank.example,secret\n").encode()

    def inputs(self) -> Iterator[bytes]:
        while True:
            yield (self._damage.cells if self._damage.pick.random() < 0.4 else self._damage.any_bytes)(
                self._text
            )

    def take(self, data: bytes) -> str:
        text = UsersText.parse(data)
        if bytes(text) != data:
            raise Broken("what is written isn't what was read")
        if text.find("zed") is None and not text.holds("zed", "zed@bank.example"):
            added = UsersText.parse(bytes(text.adding(Account("zed", "zed@bank.example", "scrypt:1$a$b"))))
            if [one.username for one in added.accounts] != [*(one.username for one in text.accounts), "zed"]:
                raise Broken("adding an account changes another")
        for account in text.accounts:
            changed = text.changing(
                Account(account.username, account.email, account.password_hash, "auditor")
            )
            if [one.username for one in UsersText.parse(bytes(changed)).accounts] != [
                one.username for one in text.accounts
            ]:
                raise Broken("changing an account changes which there are")
        return "with problems" if text.problems else "read"


class Api:
    """POST /detect_fraud: a finite probability, or a refusal; never 500."""

    def __init__(self, reference: Reference, damage: Damage, folder: Path) -> None:
        from tests.conftest import Person

        self._damage = damage
        self._app = _app(folder)
        self._person = Person(self._app, "ana").sign_up().log_in()
        row = dict(zip(CARD.columns, reference.values[0].tolist(), strict=True))  # noqa: PD011
        self._wholes = [
            {"transaction": row},
            {"transactions": [row, row]},
            {"transaction": row, "detector": "card"},
        ]

    def inputs(self) -> Iterator[bytes]:
        pick = self._damage.pick
        while True:
            whole = pick.choice(self._wholes)
            if pick.random() < 0.5:
                yield json.dumps(self._damage.json(whole)).encode()
            else:
                yield self._damage.any_bytes(json.dumps(whole).encode())

    def take(self, data: bytes) -> str:
        answer = self._person.client.post("/detect_fraud", data=data, content_type="application/json",
                                          headers={"X-CSRFToken": self._person.token("/upload")})  # fmt: skip
        if answer.status_code == 200:
            found = answer.get_json()
            for each in found.get("results", [found]):
                if not 0 <= each["fraud_probability"] <= 1:
                    raise Broken(f"the probability is {each['fraud_probability']}")
        elif answer.status_code not in (400, 404, 413, 415, 422) or not answer.get_json().get("what"):
            raise Broken(f"{answer.status_code}: {answer.get_data(as_text=True)[:300]}")
        return str(answer.status_code)


class Store:
    """What the database keeps as JSON, damaged: pages say so and serve everything else."""

    COLUMNS = ("error", "quality", "notes", "mapping", "answers")

    def __init__(self, damage: Damage, folder: Path) -> None:
        from tests.conftest import Person

        self._damage = damage
        self._folder = folder
        self._app = _app(folder)
        self._person = Person(self._app, "ana").sign_up().log_in()
        self._file = folder / "instance" / "screening.sqlite3"
        with closing(sqlite3.connect(self._file)) as store, store:
            for name, state in (("a" * 32, "failed"), ("b" * 32, "queued"), ("c" * 32, "checked")):
                store.execute(
                    "INSERT INTO screenings (id, owner, filename, kind, state, created, progress, attempts,"
                    " set_aside_bad, threshold, rows, flagged, set_aside, check_first, history_turn)"
                    " VALUES (?, 'ana', 'a.csv', 'csv', ?, '2026-01-01 00:00:00.000000', 0, 0, 0, 0.8, 0, 0, 0, 0, 0)",
                    (name, state),
                )
        self._error = {"title": "t", "status": 400, "what": "w", "where": None, "remedy": "r", "problem_count": 1,
                       "problems": [{"problem": "p", "column": "c", "row": 1, "line": 2, "value": "v"}]}  # fmt: skip

    def inputs(self) -> Iterator[bytes]:
        pick = self._damage.pick
        while True:
            value = json.dumps(self._damage.json(self._error)).encode()
            if pick.random() < 0.3:
                value = self._damage.any_bytes(value)
            yield f"{pick.choice('abc')} {pick.choice(self.COLUMNS)} ".encode() + value

    def take(self, data: bytes) -> str:
        row, column, value = data.split(b" ", 2)
        screening = row.decode() * 32
        with closing(sqlite3.connect(self._file)) as store:
            (before,) = store.execute(
                f"SELECT {column.decode()} FROM screenings WHERE id = ?", [screening]
            ).fetchone()
            with store:
                store.execute(f"UPDATE screenings SET {column.decode()} = ? WHERE id = ?",
                              [value.decode("utf-8", "replace"), screening])  # fmt: skip
            seen = [
                self._person.client.get(path).status_code
                for path in ("/results", f"/results/{screening}", f"/results/{screening}.json")
            ]
            with store:
                store.execute(
                    f"UPDATE screenings SET {column.decode()} = ? WHERE id = ?", [before, screening]
                )
        if 500 in seen:
            raise Broken(f"{column.decode()}: {seen}")
        return "/".join(map(str, seen))


class Queue:
    """The rows of jobs, damaged: workers claim, give up and fail them, and pages say so and serve everything else."""

    JSON = ("options", "error")
    VALUES = (
        ("state", ("receiving", "choosing", "waiting", "running", "done", "failed", "cancelled", "", "x" * 99)),
        ("progress", (-1.0, 0.0, 0.5, 2.0, 1e308)),
        ("attempts", (-1, 0, 3, 2**31, 2**62)),
        ("size", (None, -1, 0, 2**62)),
        ("kind", ("csv", "xlsx", "", "nonsense")),
        ("filename", ("", "a" * 255, "<script>", "\u202e.csv", "\ud7ff\n\r\t")),
        ("holder", (None, "", "gone")),
        ("lease_until", (None, "1970-01-01 00:00:00.000000", "9999-12-31 23:59:59.999999")),
        ("created", ("1970-01-01 00:00:00.000000", "9999-12-31 23:59:59.999999")),
        ("finished", (None, "1970-01-01 00:00:00.000000")),
    )  # fmt: skip

    def __init__(self, damage: Damage, folder: Path) -> None:
        from tests.conftest import Person

        self._damage = damage
        self._app = _app(folder)
        self._admin = Person(self._app, "ada").sign_up().log_in()  # the first account of all
        self._trainings = self._app.extensions["screening"].trainings
        self._file = folder / "instance" / "screening.sqlite3"
        made = {"name": "x", "role": "number", "kind": "number", "optional": False, "reason": "r",
                "examples": ["1"], "since": None, "made": None, "clock": None, "remark": "", "labelled": None,
                "chosen": False}  # fmt: skip
        self._wholes = {
            "options": {"label": "fraud", "label_delay": 1.0, "answers": {}, "tokens": {}, "fraud_values": [],
                        "columns": [made, {**made, "name": "fraud", "role": "label"}]},
            "error": {"title": "t", "status": 400, "what": "w", "where": None, "remedy": "r", "problem_count": 0,
                      "problems": []},
        }  # fmt: skip
        self._row: dict[str, Any] = {
            "id": "d" * 32, "name": "made", "owner": "ada", "filename": "a.csv", "kind": "csv", "state": "choosing",
            "created": "2026-01-01 00:00:00.000000", "progress": 0.0, "attempts": 0, "stage": "", "size": 10,
            "sha256": "0" * 64, "options": json.dumps(self._wholes["options"]),
        }  # fmt: skip
        place = folder / "instance" / "trainings" / self._row["id"]
        place.mkdir(parents=True)
        (place / "input").write_bytes(b"x,fraud\n1,0\n2,1\n")
        (place / "whole").touch()

    def inputs(self) -> Iterator[bytes]:
        pick = self._damage.pick
        while True:
            changes: dict[str, Any] = {}
            for _ in range(pick.choice((1, 1, 2, 3))):
                if pick.random() < 0.5:
                    name, values = pick.choice(self.VALUES)
                    changes[name] = pick.choice(values)
                else:
                    name = pick.choice(self.JSON)
                    value = json.dumps(self._damage.json(self._wholes[name])).encode()
                    if pick.random() < 0.2:
                        value = self._damage.any_bytes(value)
                    changes[name] = value.decode("utf-8", "replace")
            yield json.dumps(changes).encode()

    def take(self, data: bytes) -> str:
        row = {**self._row, **json.loads(data, strict=False)}
        with closing(sqlite3.connect(self._file)) as store, store:
            store.execute("DELETE FROM trainings")
            names = ", ".join(row)
            marks = ", ".join("?" * len(row))
            store.execute(f"INSERT INTO trainings ({names}) VALUES ({marks})", list(row.values()))
        claimed = self._trainings.claim("fuzz")
        if claimed is not None:
            self._trainings.renew(claimed.id, "fuzz", progress=0.5)
            self._trainings.release("fuzz")
        self._trainings.give_up()
        address = f"/trainings/{row['id']}"
        seen = [
            self._admin.client.get(path).status_code
            for path in ("/detectors", address, f"{address}/columns", f"{address}/progress", "/results")
        ]
        if any(status >= 500 for status in seen):
            raise Broken(f"{'+'.join(sorted(set(row) & set(json.loads(data, strict=False))))}: {seen}")
        return "/".join(map(str, seen))


class Http:
    """Requests as bytes to a running server: an answer below 500 or a closed line, and it goes on serving."""

    def __init__(self, damage: Damage, folder: Path) -> None:
        from tests.served import BOUNDARY, Server

        self._damage = damage
        (ROOT / "build" / "compiled").mkdir(parents=True, exist_ok=True)
        self.server = Server(folder, ROOT / "build" / "compiled")
        self.server.log_in()
        cookie = "; ".join(f"{name}={value}" for name, value in self.server.cookies.items())
        token = self.server.token("/upload")
        known = f"Host: a\r\nCookie: {cookie}\r\n"
        form = self.server.form_body(b"Time,V1\n1,2\n")
        kind = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(form), form)
        body = b'{"transaction": {"Time": 1}}'
        self._wholes = [
            f"GET /results?page=1&sort=row HTTP/1.1\r\n{known}Accept: text/html\r\n\r\n".encode(),
            f"GET /static/app.css HTTP/1.1\r\n{known}Range: bytes=0-10\r\nIf-None-Match: x\r\n\r\n".encode(),
            f"POST /upload HTTP/1.1\r\n{known}{kind}Content-Length: {len(form)}\r\n\r\n".encode() + form,
            f"POST /upload HTTP/1.1\r\n{known}{kind}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks,
            f"POST /detect_fraud HTTP/1.1\r\n{known}X-CSRFToken: {token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode() + body,
            f"POST /login HTTP/1.1\r\nHost: a\r\nContent-Type: {FORM}\r\nContent-Length: 23\r\n\r\n".encode()
            + b"username=a&password=bcd",
        ]  # fmt: skip

    def inputs(self) -> Iterator[bytes]:
        while True:
            yield self._damage.any_bytes(self._damage.pick.choice(self._wholes))

    def take(self, data: bytes) -> str:
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=15) as line:
            with suppress(OSError):
                line.sendall(data)
                line.shutdown(socket.SHUT_WR)  # whoever waits for more learns that there is none
            answer = b""
            with suppress(ConnectionResetError):
                while len(answer) < 1 << 20 and (part := line.recv(65536)):
                    answer += part
        if answer and not re.match(rb"HTTP/1\.[01] [1-4]\d\d ", answer):
            raise Broken(f"answered {answer[:200]!r}")
        if self.server.get("/healthz")[0] != 200:
            raise Broken("the server serves no more")
        return answer[9:12].decode() or "closed"


def _parquet(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.to_parquet(out)
    return out.getvalue()


def _workbook(frame: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    frame.to_excel(out, index=False)
    return out.getvalue()


def _app(folder: Path) -> Any:
    from screening.web.app_factory import create_app

    folder.mkdir(exist_ok=True)
    users = folder / "users.txt"
    users.write_text("# accounts\n", encoding="utf-8")
    instance = folder / "instance"
    settings = Settings(
        instance=instance, users_file=users, database_url=f"sqlite:///{instance / 'screening.sqlite3'}"
    )
    return create_app(settings)


def run(target: Any, name: str, seconds: float) -> tuple[Counter[str], list[str]]:
    """Feed one target for so long. Gives how often what came of it, and what broke a rule (one of each place)."""
    seen: Counter[str] = Counter()
    broken: dict[str, str] = {}
    ends = time.monotonic() + seconds
    for data in target.inputs():
        if time.monotonic() > ends:
            break
        began = time.monotonic()
        try:
            seen[target.take(data)] += 1
            check_seconds(time.monotonic() - began)
        except Exception as problem:  # noqa: BLE001  that is what is looked for
            place = traceback.extract_tb(problem.__traceback__)[-1]
            key = (
                f"{type(problem).__name__} at {Path(place.filename).name}:{place.lineno}: {str(problem)[:80]}"
            )
            seen["broken"] += 1
            if key not in broken and len(broken) < 50:
                broken[key] = _keep(name, data)
    return seen, [f"{key} ({file})" for key, file in broken.items()]


def check_seconds(taken: float) -> None:
    """Refuse what takes too long.

    Raises:
        Broken: it did.
    """
    if taken > MOST_SECONDS:
        raise Broken(f"it took {taken:.0f} s")


def _keep(name: str, data: bytes) -> str:
    KEPT.mkdir(parents=True, exist_ok=True)
    file = KEPT / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    file.write_bytes(data)
    file.with_suffix(".txt").write_text(traceback.format_exc(), encoding="utf-8")
    return file.name


def main() -> int:
    """Go through the targets in turn until the time is up."""
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--minutes", type=float, default=5.0)
    wanted.add_argument("--seed", type=int, default=1)
    wanted.add_argument("--only", default="")
    given = wanted.parse_args()
    damage = Damage(given.seed)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name, ExitStack() as stack:
        folder = Path(name)
        settings = Settings(instance=folder / "detectors")
        reference = Reference(Detectors(settings).default)
        server: list[Http] = []

        def http() -> Http:
            (folder / "http").mkdir()
            made = Http(damage, folder / "http")
            server.append(made)
            stack.callback(made.server.close)
            stack.callback(made.server.stop)
            return made

        makers: dict[str, Callable[[], Any]] = {
            "text": lambda: Intake(reference, FileKind.CSV, folder, damage),
            "gz": lambda: Intake(reference, FileKind.CSV_GZ, folder, damage),
            "parquet": lambda: Intake(reference, FileKind.PARQUET, folder, damage),
            "workbook": lambda: Intake(reference, FileKind.XLSX, folder, damage),
            "json": lambda: Api(reference, damage, folder / "api"),
            "store": lambda: Store(damage, folder / "store"),
            "queue": lambda: Queue(damage, folder / "queue"),
            "users": lambda: Users(damage),
            "http": http,
        }
        names = given.only.split(",") if given.only else list(makers)
        targets = {name: makers[name]() for name in names}
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        totals = {name: Counter[str]() for name in names}
        found: dict[str, set[str]] = {name: set() for name in names}
        ends = time.monotonic() + given.minutes * 60
        while time.monotonic() < ends:
            for each, target in targets.items():
                seen, broken = run(target, each, min(60.0, given.minutes * 60 / len(names)))
                totals[each] += seen
                found[each] |= set(broken)
                print(each, dict(totals[each]), *sorted(found[each]), sep="\n  ", flush=True)
        growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        inputs = {name: sum(totals[name].values()) for name in names}
        print(
            json.dumps(
                {"inputs": inputs, "broken": {n: sorted(b) for n, b in found.items()}, "growth_mb": growth}
            )
        )
    return int(any(found.values()) or growth > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
