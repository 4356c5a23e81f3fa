"""Two hosts, as far as one machine can have them: two servers on one PostgreSQL and one folder, each with its name.

``python -m benchmarks.hosts`` has them in network namespaces, and kills them and cuts them off.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from screening.infra.audit.log import KEY_PURPOSE, AuditLog
from screening.infra.audit.verification import verify as verify_log
from screening.infra.instance_secret import InstanceSecret
from screening.settings import ROOT
from tests.postgres_server import Postgres
from tests.served import PASSWORD, Server
from tests.shared import share_compiled
from tests.test_server_postgresql import ask, decided, told
from tests.web.keys_kit import payment


@pytest.fixture
def hosts(postgres: Postgres, tmp_path: Path, compiled: Path) -> Iterator[tuple[Server, Server]]:
    """One that answers and screens, and one that only answers."""
    name = postgres.empty()
    (tmp_path / "instance").mkdir()
    share_compiled(tmp_path / "instance", compiled)
    (tmp_path / "users.txt").write_text("# accounts\n", encoding="utf-8")
    same = {"DATABASE_URL": postgres.url(name), "HOSTS": "several", "WORKERS": "1", "JOB_WORKERS": "1"}
    one = Server(tmp_path, compiled, ROOT, HOST_NAME="one", **same)
    other = Server(tmp_path, compiled, ROOT, HOST_NAME="other", ROLE="web", **same)
    yield one, other
    for each in (other, one):
        each.close()
        each.wait_until_silent()
    postgres.drop(name)


def kill_all_of(host: str, folder: Path) -> None:
    """Kill every process of a host at once, as a loss of power does."""
    marks = f"HOST_NAME={host}\0".encode(), str(folder).encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            environ = (entry / "environ").read_bytes()
            if all(mark in environ for mark in marks):
                os.kill(int(entry.name), signal.SIGKILL)


def test_two_hosts_are_one_instance_and_one_of_them_may_die(
    hosts: tuple[Server, Server], sample: bytes, tmp_path: Path
) -> None:
    one, other = hosts
    # an account and a session of one host hold at the other
    one.log_in()
    other.cookies = one.cookies
    assert other.get("/upload")[0] == 200
    visitor = {name: value for name, value in other.cookies.items() if "csrf" not in name}
    other.cookies = {}
    assert other.form("/signup", username="ben", email="ben@bank.example", password=PASSWORD)[0] == 303
    one.cookies = other.cookies
    assert one.get("/upload")[0] == 200
    one.cookies = other.cookies = visitor

    # sent to the host without job workers, screened by the other's
    status, headers, body = other.upload(sample)
    assert status == 303, body
    screening = headers["Location"].rsplit("/", 1)[-1]
    assert one.wait_for(screening)["state"] == "done"

    key = told(
        one, "keys", "create", "till", "--owner", "ana", "--scope", "score", "--scope", "read"
    ).splitlines()[-1]
    first = ask(one, key, {"transaction": payment()}, "once")
    assert ask(other, key, {"transaction": payment()}, "once") == first

    status, headers, body = other.upload(sample, wait=0)
    assert status == 303, body
    kill_all_of("other", tmp_path)
    other.process.wait(timeout=20)
    accepted = headers["Location"].rsplit("/", 1)[-1]
    assert one.wait_for(accepted)["state"] == "done"
    assert [each["id"] for each in decided(one, key)] == [first["id"]]
    assert ask(one, key, {"transaction": payment()}, "once") == first
    # both have written into the audit log
    instance = Path(one.environ["INSTANCE_PATH"])
    log = AuditLog(instance)
    head = [("beside the log", log.chain.head())]
    verified = verify_log(log.files(), InstanceSecret(instance).derive(KEY_PURPOSE), head)
    assert (verified.fault, verified.entries >= 6) == (None, True)
