"""Have each row of a CSV file decided by a single request, and write the answers as CSV.

    export FRAUD_URL=https://fraud.bank.example FRAUD_KEY=fsk_…
    python examples/send_csv.py payments.csv decisions.csv --detector payments

It needs Python 3.11 and nothing else. Whole files are quicker by ``POST /upload``; this is how a payment system asks,
one payment at a time.

- Stopped in the middle, it goes on where it was when it is started again: rows that have an answer aren't sent.
- Each row has an Idempotency-Key made of what it says and where it stands, so a row that was sent and whose answer was
  lost is decided and counted once.
- Refused with 429 or 503 it waits as long as ``Retry-After`` says; a broken line is tried again, a little later each
  time.
- A row that can't be scored gets the reason in the column ``error``. What would be refused for every row (a wrong key,
  an unknown detector) ends it.

The exit status is 0 if every row was decided, 1 if some could not be, 2 if it had to stop.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import http.client
import json
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

COLUMNS = (
    *(
        "row",
        "id",
        "fraud",
        "fraud_probability",
        "threshold",
        "detector",
        "fraud_type",
        "reasons",
        "notes",
        "error",
    ),
)
TRY_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
OF_THE_ROW = 422
LONGEST_WAIT = 30.0
TIMEOUT = 30.0


class Stop(Exception):
    """There is no use in going on; the message says why."""


class Api:
    """The data API. Each thread keeps a line of its own open.

    Args:
        url: of the server.
        key: an API key with the scope ``score``.
        patience: for how many seconds one request is tried again.
    """

    def __init__(self, url: str, key: str, patience: float) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Stop(f"FRAUD_URL must be an address as https://fraud.bank.example, not {url!r}.")
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._path = parts.path.rstrip("/")
        self._key = key
        self._patience = patience
        self._mine = threading.local()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """Return the status of an answer and its JSON, after as many tries as it takes.

        Raises:
            Stop: there is no answer in time.
        """
        deadline = time.monotonic() + self._patience
        wait, said = 0.2, "no answer"
        while True:
            try:
                status, retry_after, content = self._once(method, path, body, headers)
                if status not in TRY_AGAIN:
                    return status, json.loads(content)
                said = f"{status} {content[:200].decode('utf-8', 'replace').strip()}"
            except (OSError, http.client.HTTPException) as problem:
                retry_after, said = None, f"{type(problem).__name__}: {problem}"
            pause = wait if retry_after is None else retry_after
            if time.monotonic() + pause > deadline:
                raise Stop(f"No answer after {self._patience:.0f} s; the last one was: {said}")
            time.sleep(pause)
            wait = min(2 * wait, LONGEST_WAIT)

    def _once(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, float | None, bytes]:
        line: http.client.HTTPConnection | None = getattr(self._mine, "line", None)
        if line is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            line = self._mine.line = kind(self._host, self._port, timeout=TIMEOUT)
        try:
            line.request(method, self._path + path, body, {"Authorization": f"Bearer {self._key}", **headers})
            answer = line.getresponse()
            content = answer.read()
        except BaseException:
            line.close()
            self._mine.line = None
            raise
        given = answer.headers.get("Retry-After", "")
        return answer.status, float(given) if given.isdigit() else None, content


def numbers_of(api: Api, detector: str) -> set[str]:
    """Return which columns of a detector are numbers, as the description of the API says.

    Raises:
        Stop: the key isn't let in, or may not ask this detector.
    """
    status, found = api.ask("GET", "/openapi.json")
    if status != http.HTTPStatus.OK:
        raise Stop(f"{found['detail']} (request {found['request_id']})")
    schemas = found["components"]["schemas"]
    known = sorted(name.removeprefix("Transaction.") for name in schemas if name.startswith("Transaction."))
    if detector not in known:
        raise Stop(f"There is no detector {detector!r} for this key. There are: {', '.join(known)}.")
    properties = schemas[f"Transaction.{detector}"]["properties"]
    return {name.casefold() for name, schema in properties.items() if '"number"' in json.dumps(schema)}


def transaction_of(row: dict[str, str], numbers: set[str]) -> dict[str, Any]:
    """Return a row as the API takes it: numbers without quotes, and nothing of blank cells."""
    found: dict[str, Any] = {}
    for name, cell in row.items():
        if cell == "":
            continue
        found[name] = cell
        if name.strip().casefold() in numbers:
            try:
                number = float(cell)
            except ValueError:
                continue  # the server says what is wrong with it
            if math.isfinite(number):
                found[name] = number
    return found


def decided(api: Api, number: int, transaction: dict[str, Any], detector: str, run: str) -> dict[str, Any]:
    """Return the line of the answer for one row.

    Raises:
        Stop: other rows would be refused in the same way.
    """
    body = json.dumps({"detector": detector, "transaction": transaction}).encode()
    key = hashlib.sha256(f"{run}\n{number}\n".encode() + body).hexdigest()
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    status, found = api.ask("POST", "/detect_fraud", body, **headers)
    if status == http.HTTPStatus.OK:
        lists = {name: "; ".join(found.get(name, ())) for name in ("reasons", "notes")}
        return {**found, **lists, "fraud": str(found["fraud"]).lower(), "row": number, "error": ""}
    said = f"{found['detail']} (request {found['request_id']})"
    if status != OF_THE_ROW:
        raise Stop(f"Row {number} was refused with {status}: {said}")
    return {"row": number, "error": " ".join(said.split())}


def rows_done(path: Path) -> int:
    """Return how many rows have an answer already; a last line that was cut off is removed."""
    if not path.exists():
        return 0
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    header, *lines = list(
        csv.reader(content.decode("utf-8", "replace").splitlines()[: whole.count(b"\n")])
    ) or [[]]
    numbers = [line[0] for line in lines if line]
    if (header and header != list(COLUMNS)) or numbers != [str(each) for each in range(1, len(lines) + 1)]:
        raise Stop(f"{path} holds something else than the answers of rows 1, 2, 3 …: name another file.")
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return len(lines)


def send(api: Api, given: argparse.Namespace, numbers: set[str], done: int) -> Iterator[dict[str, Any]]:
    """Yield the answers of all rows that have none yet, in their order; some requests are on their way at a time."""
    waiting: deque[Future[dict[str, Any]]] = deque()
    with (
        given.input.open(encoding="utf-8-sig", newline="") as file,
        ThreadPoolExecutor(given.connections) as threads,
    ):
        try:
            for number, row in enumerate(csv.DictReader(file), start=1):
                if number <= done:
                    continue
                cells = {name: cell for name, cell in row.items() if name is not None and cell is not None}
                transaction = transaction_of(cells, numbers)
                waiting.append(threads.submit(decided, api, number, transaction, given.detector, given.run))
                if len(waiting) >= 2 * given.connections:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            threads.shutdown(cancel_futures=True)


def main() -> int:
    """Do what the command line says; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", type=Path, help="a CSV file in UTF-8 with a header")
    parser.add_argument("output", type=Path, help="where the answers go; rows that it has aren't sent again")
    parser.add_argument("--detector", required=True, help="which one decides")
    parser.add_argument("--connections", type=int, default=4, help="requests at a time (default 4)")
    parser.add_argument(
        "--patience", type=float, default=300, help="seconds that one row is tried again (300)"
    )
    parser.add_argument(
        "--run", default="", help="another name has rows decided anew that were sent within a day"
    )
    given = parser.parse_args()
    failed = 0
    try:
        api = Api(os.environ.get("FRAUD_URL", ""), os.environ.get("FRAUD_KEY", ""), given.patience)
        done = rows_done(given.output)
        numbers = numbers_of(api, given.detector)
        with given.output.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
            if not file.tell():
                writer.writeheader()
            for line in send(api, given, numbers, done):
                writer.writerow(line)
                file.flush()
                failed += bool(line["error"])
                done += 1
    except Stop as problem:
        print(problem, file=sys.stderr)
        return 2
    except OSError as problem:
        print(f"{problem.filename}: {problem.strerror}", file=sys.stderr)
        return 2
    print(f"{done} rows have an answer, {failed} of this time's could not be decided", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
