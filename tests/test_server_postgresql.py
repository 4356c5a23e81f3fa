"""The real server, with two web processes and a job worker, on PostgreSQL: no database is in its instance."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from screening.settings import ROOT
from tests.postgres_server import Postgres
from tests.served import Server
from tests.shared import share_compiled
from tests.web.keys_kit import payment

ROWS = 24


@pytest.fixture
def server(postgres: Postgres, tmp_path: Path, compiled: Path) -> Iterator[Server]:
    name = postgres.empty()
    instance = tmp_path / "instance"
    instance.mkdir()
    share_compiled(instance, compiled)
    (tmp_path / "users.txt").write_text("# accounts\n", encoding="utf-8")
    made = Server(tmp_path, compiled, WORKERS="2", JOB_WORKERS="1", DATABASE_URL=postgres.url(name))
    yield made
    made.close()
    made.wait_until_silent()
    postgres.drop(name)


def told(server: Server, *words: str) -> str:
    """What a command says that ends well."""
    command = [sys.executable, "-m", "flask", "--app", "app", *words]
    done = subprocess.run(
        command, cwd=ROOT, env=server.environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ask(server: Server, key: str, body: dict[str, Any], repeatable: str | None = None) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    if repeatable is not None:
        headers["Idempotency-Key"] = repeatable
    status, _, content = server.request("POST", "/detect_fraud", json.dumps(body), **headers)
    assert status == 200, content
    found: dict[str, Any] = json.loads(content)
    return found


def payments() -> list[dict[str, Any]]:
    """Payments of one customer, a minute apart."""
    return [
        {
            "TX_DATETIME": f"2025-03-01 10:{minute:02}:00",
            "CUSTOMER_ID": "7",
            "TERMINAL_ID": str(minute % 3),
            "TX_AMOUNT": 10.0 + minute,
        }
        for minute in range(ROWS)
    ]


def decided(server: Server, key: str) -> list[dict[str, Any]]:
    """All decisions of the API."""
    path = "/transactions?source=api&limit=1000"
    status, _, content = server.request("GET", path, Authorization=f"Bearer {key}")
    assert status == 200, content
    found: list[dict[str, Any]] = json.loads(content)["transactions"]
    return found


def test_the_whole_way_on_postgresql(server: Server, sample: bytes) -> None:
    server.log_in()
    answer = server.upload(sample)
    assert answer[0] == 303
    screening = answer[1]["Location"].rsplit("/", 1)[-1]
    ended = server.wait_for(screening)
    assert ended["state"] == "done", ended
    page = server.get(f"/results/{screening}")
    assert page[0] == 200

    key = told(
        server, "keys", "create", "till", "--owner", "ana", "--scope", "score", "--scope", "read"
    ).splitlines()[-1]
    server.cookies.clear()
    assert 0 <= ask(server, key, {"transaction": payment()})["fraud_probability"] <= 1

    # every payment is sent twice at once, to whichever process takes it: one decision each
    rows, answers = payments(), dict[str, list[str]]()

    def send(mine: list[tuple[str, dict[str, Any]]]) -> None:
        for number, row in mine:
            found = ask(server, key, {"detector": "payments", "transaction": row}, number)
            answers.setdefault(number, []).append(found["id"])

    numbered = [(str(uuid.uuid4()), row) for row in rows]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(send, [numbered[begin::4] for begin in (0, 1, 2, 3, 0, 1, 2, 3)]))
    assert [len(each) for each in answers.values()] == [2] * ROWS
    assert all(len(set(each)) == 1 for each in answers.values()), "a repeated request got another answer"
    ids = {each[0] for each in answers.values()}
    assert len(ids) == ROWS
    kept = decided(server, key)
    assert ids < {each["id"] for each in kept}
    assert len(kept) == ROWS + 1
    assert f"{ROWS} rows" in told(server, "ledger", "velocity")
    assert server.get("/readyz")[0] == 200

    server.process.send_signal(signal.SIGKILL)
    server.process.wait(timeout=40)
    server.wait_until_silent()
    server.start()
    assert decided(server, key) == kept
    assert told(server, "ledger", "verify")
    assert not list(Path(server.environ["INSTANCE_PATH"]).rglob("*.sqlite3*"))
