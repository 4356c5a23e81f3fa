"""The audit log: whole lines, and nothing in them that must not be kept."""

from __future__ import annotations

import json
import secrets
import stat
import subprocess
import sys
import textwrap
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.cards.masking import masked
from screening.infra.audit.log import AuditLog
from screening.infra.job_queue import new_id
from screening.settings import ROOT


def lines(log: AuditLog) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.path.read_text("ascii").splitlines()]


@pytest.mark.security(33)
def test_one_line_says_when_and_what(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.record("upload", user="ada", address="192.0.2.7", sha256="ab" * 32, size=150_000_000)
    (line,) = lines(log)
    assert datetime.fromisoformat(line["time"]).tzinfo == UTC
    assert line == {
        "time": line["time"],
        "chain": line["chain"],
        "event": "upload",
        "user": "ada",
        "address": "192.0.2.7",
        "sha256": "ab" * 32,
        "size": 150_000_000,
    }
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600


@pytest.mark.security(33)
@pytest.mark.parametrize(
    "name", ["a\nb", 'a\r\n{"event": "login"}', "a\u2028b", "a\x85b", "\0", 'a"b\\', "😀"]
)
def test_a_name_with_a_newline_stays_one_line(tmp_path: Path, name: str) -> None:
    log = AuditLog(tmp_path)
    log.record("login_failed", user=name)
    assert [line["user"] for line in lines(log)] == [name]
    assert log.path.read_bytes().count(b"\n") == 1


@pytest.mark.security(33)
def test_secrets_and_card_numbers_are_taken_out(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.record(
        "anything",
        password="river of words",
        new_password="river of words",
        cookie="river of words",
        csrf_token="river of words",
        api_key="river of words",
        password_hash="scrypt:river of words",
        authorization="Bearer river of words",
        reason="row 3: 4111 1111 1111 1111, also 5500-0000-0000-0004 and 378282246310005",
        filename="4111111111111111.csv",
        listed=["6011000990139424", {"inner": "3530111333300000"}],
        number=4111111111111111,
        fullwidth="４１１１１１１１１１１１１１１１",
    )
    assert "river" not in log.path.read_text("ascii")
    # the time and the hashes of the chain have any digits now and then
    text = json.dumps({key: value for key, value in lines(log)[0].items() if key not in ("time", "chain")})
    for digits in ("0004", "2822463", "60110", "35301", "1111"):
        assert digits not in text
    assert "\\uff11" not in text
    assert lines(log)[0]["filename"] == "[digits].csv"


@pytest.mark.security(33)
def test_a_digest_is_kept_whole_even_if_it_looks_like_a_number(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    digest = "1234567890123456" * 4
    log.record("upload", sha256=digest, model_sha256="ab" * 32, filename=digest)
    (line,) = lines(log)
    assert line["sha256"] == digest
    assert line["filename"] == "[digits]"


@pytest.mark.security(33)
def test_an_id_is_kept_whole_but_not_with_a_card_number_in_it(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    own, crafted = "5809925579854889a2fd169ad5ecc48f", "5555555555554444a1b7584a2265b1f5"
    log.record("shadow_started", run=own, case=crafted, other="580992557985")
    (line,) = lines(log)
    assert (line["run"], line["case"], line["other"]) == (own, "[digits]a1b7584a2265b1f5", "[digits]")


def test_ids_are_drawn_that_no_log_masks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter(["0349168668773a2a812b8e69e4e465bc", "229e72ec3cce84a47e0c786324796454", "ab" * 16])
    with monkeypatch.context() as patched:
        patched.setattr(secrets, "token_hex", lambda _size: next(drawn))
        made = new_id()
    assert made == "ab" * 16
    log = AuditLog(tmp_path)
    log.record("shadow_started", run=made)
    log.record("shadow_started", run="229e72ec3cce84a47e0c786324796454")  # of an earlier version
    assert [line["run"] for line in lines(log)] == [made, "229e72ec3cce84a47e0c786324796454"]


@given(st.text(max_size=30), st.from_regex(r"[0-9]{12,19}", fullmatch=True), st.text(max_size=30))
def test_no_run_of_twelve_digits_is_left(before: str, number: str, after: str) -> None:
    assert number not in masked(before + number + after)


def test_amounts_dates_and_row_numbers_stay() -> None:
    for text in ("row 284807, column V14", "2026-11-20", "1,234,567.89", "149999.99 EUR"):
        assert masked(text) == text


@pytest.mark.security(33)
def test_lines_of_several_processes_do_not_mix(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from screening.infra.audit.log import AuditLog
        log = AuditLog(Path(sys.argv[1]))
        for number in range(200):
            log.record("export", user=sys.argv[2], number=number, text="x" * 450)
    """)
    writers = [
        subprocess.Popen([sys.executable, "-c", script, str(tmp_path), f"w{n}"], cwd=ROOT) for n in range(4)
    ]
    assert [writer.wait(timeout=60) for writer in writers] == [0] * 4
    found = lines(AuditLog(tmp_path))
    assert len(found) == 800
    assert {(line["user"], line["number"]) for line in found} == {
        (f"w{n}", i) for n in range(4) for i in range(200)
    }


MONTHS = """
import sys, time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from screening.infra.audit.log import AuditLog
begun, start = float(sys.argv[3]), datetime(2026, 10, 31, 12, tzinfo=UTC)
clock = lambda: start + timedelta(hours=time.monotonic() - begun)  # one for all writers, fast
log, number = AuditLog(Path(sys.argv[1]), clock), 0
while clock() < datetime(2026, 10, 31, 23, 59, tzinfo=UTC):
    log.record("export", user=sys.argv[2], number=number, text="x" * 450)
    number += 1
    time.sleep(0.02)
while clock() < datetime(2026, 11, 1, 1, tzinfo=UTC):
    log.record("export", user=sys.argv[2], number=number, text="x" * 450)
    number += 1
print(number)
"""


@pytest.mark.security(33)
def test_no_line_is_lost_or_misplaced_where_writers_pass_from_one_month_to_the_next(tmp_path: Path) -> None:
    begun = str(time.monotonic())
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", MONTHS, str(tmp_path), f"w{n}", begun],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(3)
    ]
    counts = [int(writer.communicate(timeout=60)[0]) for writer in writers]
    files = AuditLog(tmp_path).files()
    assert [path.name for path in files] == ["audit-2026-10.jsonl", "audit-2026-11.jsonl"]
    found = {path.stem[-7:]: [json.loads(line) for line in path.open("rb")] for path in files}
    for month, those in found.items():
        assert {line["time"][:7] for line in those} == {month}
        assert [line["time"] for line in those] == sorted(line["time"] for line in those)
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    kept = [line for those in found.values() for line in those]
    assert {(line["user"], line["number"]) for line in kept} == {
        (f"w{n}", i) for n in range(3) for i in range(counts[n])
    }
    assert [line["chain"]["number"] for line in kept] == list(range(1, sum(counts) + 1))


def test_a_month_that_is_over_may_be_taken_away_and_the_log_of_older_versions_comes_first(
    tmp_path: Path,
) -> None:
    moment = datetime(2026, 12, 31, tzinfo=UTC)
    for days in (0, 1, 40):
        AuditLog(tmp_path, partial(moment.__add__, timedelta(days=days))).record("login", user="ada")
    (tmp_path / "log" / "audit.jsonl").write_text("{}\n")
    names = [path.name for path in AuditLog(tmp_path).files()]
    assert names == ["audit.jsonl", *(f"audit-{month}.jsonl" for month in ("2026-12", "2027-01", "2027-02"))]
    (tmp_path / "log" / "audit-2026-12.jsonl").rename(tmp_path / "elsewhere")
    AuditLog(tmp_path, lambda: moment + timedelta(days=41)).record("logout", user="ada")
    assert [path.name for path in AuditLog(tmp_path).files()] == [names[0], *names[2:]]


def test_a_line_after_a_torn_one_is_whole(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.record("login", user="ada")
    with log.path.open("ab") as out:
        out.write(b'{"time": "2026')
    log.record("logout", user="ada")
    assert json.loads(log.path.read_bytes().splitlines()[-1])["event"] == "logout"


def test_a_log_that_cannot_be_written_is_told_to_the_operator(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "log").write_text("a file where the folder should be")
    AuditLog(tmp_path).record("login", user="ada")
    assert "the audit log can't be written" in caplog.text
