"""The chain of the audit log: whatever is done to its files is named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from screening.infra.audit.chain import HEAD, ChainHead, read_head
from screening.infra.audit.log import KEY_PURPOSE, AuditLog
from screening.infra.audit.verification import Verification, verify
from screening.infra.instance_secret import InstanceSecret
from screening.settings import ROOT

OCTOBER, NOVEMBER = datetime(2026, 10, 20, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> AuditLog:
    """A log of ten entries, six of them in October."""
    for number in range(10):
        at(tmp_path, OCTOBER if number < 6 else NOVEMBER).record(
            "export", user="ana", screening=f"s{number + 1}"
        )
    return at(tmp_path, NOVEMBER)


def at(instance: Path, moment: datetime) -> AuditLog:
    return AuditLog(instance, lambda: moment)


def checked(log: AuditLog, *elsewhere: ChainHead | None, since: str | None = None) -> Verification:
    key = InstanceSecret(log.path.parent.parent).derive(KEY_PURPOSE)
    heads = [("beside", log.chain.head()), *(("kept", head) for head in elsewhere)]
    return verify(log.files(), key, heads, since)


def fault(log: AuditLog, *elsewhere: ChainHead | None) -> str:
    return str(checked(log, *elsewhere).fault)


def change(file: Path, how: Callable[[list[bytes]], list[bytes]]) -> None:
    file.write_bytes(b"".join(how(file.read_bytes().splitlines(keepends=True))))


def head_of(log: AuditLog) -> ChainHead:
    head = log.chain.head()
    assert head is not None
    return head


@pytest.mark.security(33)
def test_a_whole_chain_is_found_whole_over_months(log: AuditLog) -> None:
    found = checked(log, head_of(log))
    assert (found.fault, found.entries, found.first, found.last, found.notes) == (None, 10, 1, 10, [])
    assert [path.name for path in log.files()] == ["audit-2026-10.jsonl", "audit-2026-11.jsonl"]


@pytest.mark.security(33)
def test_each_single_byte_that_is_changed_is_named_with_its_entry(log: AuditLog) -> None:
    file = log.files()[0]
    kept = file.read_bytes()
    ends = [index for index, byte in enumerate(kept) if byte == ord("\n")]
    for place in range(ends[2] + 1, ends[3]):  # the fourth line
        file.write_bytes(kept[:place] + bytes([kept[place] ^ 1]) + kept[place + 1 :])
        found = checked(log).fault
        assert found is not None, place
        assert (found.number, found.file, found.line) == (4, "audit-2026-10.jsonl", 4), (place, str(found))
    file.write_bytes(kept)
    assert checked(log).fault is None


@pytest.mark.security(33)
@pytest.mark.parametrize("line", [0, 3, 5])
def test_a_line_that_was_removed_is_named(log: AuditLog, line: int) -> None:
    change(log.files()[0], lambda lines: lines[:line] + lines[line + 1 :])
    found = checked(log).fault
    assert found is not None
    assert found.number == line + 1
    assert "removed" in found.problem


@pytest.mark.security(33)
def test_two_lines_that_were_swapped_are_named(log: AuditLog) -> None:
    change(log.files()[0], lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]])
    assert fault(log) == "audit-2026-10.jsonl, line 3, entry 3: isn't where it was written: entry 4 is there"


@pytest.mark.security(33)
def test_an_entry_with_a_hash_made_anew_is_named_by_the_next_one(log: AuditLog) -> None:
    from screening.infra.audit.chain import encoded, hash_of

    def forge(lines: list[bytes]) -> list[bytes]:
        entry = json.loads(lines[3])
        entry["user"] = "mia"
        entry["chain"]["hash"] = hash_of(entry)
        return [*lines[:3], encoded(entry) + b"\n", *lines[4:]]

    change(log.files()[0], forge)
    assert (
        fault(log) == "audit-2026-10.jsonl, line 4, entry 4: was changed: the next entry names another hash"
    )


@pytest.mark.security(33)
def test_a_cut_end_is_named_by_the_head_beside(log: AuditLog) -> None:
    change(log.path, lambda lines: lines[:2])
    assert fault(log) == (
        "entry 9: was cut off with the end: the head beside is of entry 10; entries 9 to 10 are missing"
    )
    log.record("login", user="ana")  # the next entry doesn't fix it
    assert fault(log).endswith("entry 9: was removed: entry 11 follows entry 8")


@pytest.mark.security(33)
def test_an_end_cut_off_with_its_head_is_named_by_a_head_kept_elsewhere(log: AuditLog) -> None:
    elsewhere = head_of(log)
    change(log.path, lambda lines: lines[:2])
    (log.path.parent / HEAD).unlink()
    assert "the head beside is missing" in fault(log)
    log.record("login", user="ana")
    log.record("login", user="ana")
    assert "only a head can tell that was kept elsewhere since" in fault(log)
    assert (
        fault(log, elsewhere) == "entry 10: was changed, or all of the chain: the head kept has another hash"
    )


@pytest.mark.security(33)
def test_a_lost_head_is_no_fault_where_a_later_one_was_kept_elsewhere(log: AuditLog) -> None:
    elsewhere = head_of(log)
    (log.path.parent / HEAD).write_text("{}")
    log.record("login", user="ana")
    assert checked(log, elsewhere).fault is None


@pytest.mark.security(33)
def test_a_head_that_was_changed_or_is_another_instances_is_refused(log: AuditLog) -> None:
    head = head_of(log)
    for other in (replace(head, number=8), replace(head, signature="0" * 64), None):
        assert "the head kept is missing, was changed, or isn't this instance's" in fault(log, other)
    assert read_head(head.text()) == head


@pytest.mark.security(33)
def test_lines_that_were_added_are_named(log: AuditLog) -> None:
    change(log.files()[0], lambda lines: [*lines[:3], b'{"event": "nothing"}\n', *lines[3:]])
    assert fault(log).startswith("audit-2026-10.jsonl, line 4, entry 4: doesn't know the text before it")
    change(log.files()[0], lambda lines: [*lines[:3], *lines[4:]])
    change(log.path, lambda lines: [*lines, b'{"event": "nothing"}\n'])
    assert "audit-2026-11.jsonl, line 5, entry 11: was changed, or the line was added" in fault(log)


def test_a_torn_line_is_no_fault_and_known_to_the_next_entry(log: AuditLog) -> None:
    with log.path.open("ab") as out:
        out.write(b'{"time": "2026')
    assert checked(log).notes == ["audit-2026-11.jsonl ends in a torn line, which was never an entry"]
    log.record("logout", user="ana")
    assert checked(log).fault is None
    change(log.path, lambda lines: [line.replace(b'{"time": "2026\n', b'{"time": "2025\n') for line in lines])
    assert "doesn't know the text before it" in fault(log)


def test_months_that_were_moved_away_are_missed_until_it_is_said_and_verified_where_they_are(
    log: AuditLog, tmp_path: Path
) -> None:
    october = log.files()[0].rename(tmp_path / "audit-2026-10.jsonl")
    assert "entries 1 to 6 aren't here" in fault(log)
    found = checked(log, since="2026-11")
    assert (found.fault, found.first, found.notes) == (
        None,
        7,
        ["entries 1 to 6 aren't here: they were moved away"],
    )
    key = InstanceSecret(tmp_path).derive(KEY_PURPOSE)
    assert verify([october, *log.files()], key, [("beside", log.chain.head())]).entries == 10
    change(log.path, lambda lines: lines[1:])
    assert str(checked(log, since="2026-11").fault).endswith("lines before it were removed or added")


def test_a_log_from_before_there_was_a_chain_is_frozen_by_the_first_entry(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    old, present = folder / "audit.jsonl", folder / "audit-2026-11.jsonl"
    old.write_text('{"event": "login"}\n')
    present.write_text('{"event": "login"}\n{"event": "logout"}\n')
    log = at(tmp_path, NOVEMBER)
    log.record("login", user="ana")
    log.record("logout", user="ana")
    assert (checked(log).fault, checked(log).entries) == (None, 2)
    for file in (old, present):
        kept = file.read_bytes()
        file.write_bytes(kept.replace(b"login", b"loGin", 1))
        assert fault(log) == f"{file.name}: was changed since the chain began after it"
        file.write_bytes(kept)
    old.unlink()
    assert fault(log) == "audit.jsonl: was removed, or moved away: the first entry names it"


def test_a_writer_that_was_killed_leaves_a_chain_that_goes_on(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from screening.infra.audit.log import AuditLog
        print("ready", flush=True)
        while True:
            AuditLog(Path(sys.argv[1])).record("export", user=sys.argv[2], text="x" * 300)
    """)
    for _ in range(4):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", script, str(tmp_path), f"w{n}"], cwd=ROOT, stdout=subprocess.PIPE
            )
            for n in range(2)
        ]
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.communicate()
    log = AuditLog(tmp_path)
    log.record("login", user="ana")
    found = checked(log)
    assert found.fault is None, str(found.fault)
    assert found.last == found.entries


def test_an_entry_whose_head_was_not_written_any_more_is_known_to_the_next(log: AuditLog) -> None:
    head = (log.path.parent / HEAD).read_bytes()
    log.record("login", user="ana")
    (log.path.parent / HEAD).write_bytes(head)  # killed between the two
    assert checked(log).fault is None
    log.record("logout", user="ana")
    assert (checked(log).fault, checked(log).last) == (None, 12)
