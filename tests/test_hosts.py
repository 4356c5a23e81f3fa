"""Two hosts, as far as one machine can have them: two servers on one PostgreSQL and one folder, each with its name.

The second has the next version, whose tables have a column and a table more: so it is while hosts are upgraded in turn.

``python -m benchmarks.hosts`` has them in network namespaces, and kills them and cuts them off.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from screening.infra.audit.log import KEY_PURPOSE, AuditLog
from screening.infra.audit.verification import verify as verify_log
from screening.infra.database import HEAD
from screening.infra.instance_secret import InstanceSecret
from screening.settings import ROOT
from tests.postgres_server import Postgres
from tests.served import PASSWORD, Server
from tests.shared import share_compiled
from tests.test_server_postgresql import ask, decided, told
from tests.web.keys_kit import payment

NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "0999"
down_revision = "{head}"


def upgrade() -> None:
    op.create_table("of_the_next_version", sa.Column("id", sa.Integer, primary_key=True))
    op.add_column("screenings", sa.Column("of_the_next_version", sa.String(9)))
"""


def next_version(folder: Path) -> Path:
    """A folder with this code, and one migration more."""
    clone = folder / "next"
    clone.mkdir()
    for each in ROOT.iterdir():
        if each.name in ("app.py", "utils.py"):
            shutil.copy2(each, clone)
        elif each.name == "screening":
            shutil.copytree(each, clone / each.name)
        elif each.name in (
            "model",
            "model.h5",
            "model.compiled.tar.xz",
            "vectorizer.pkl",
            "static",
            "templates",
        ):
            (clone / each.name).symlink_to(each)
    database = clone / "screening" / "infra" / "database.py"
    text = database.read_text("utf-8")
    assert text.count(f'HEAD, OLDEST = "{HEAD}"') == 1
    database.write_text(text.replace(f'HEAD, OLDEST = "{HEAD}"', 'HEAD, OLDEST = "0999"'), "utf-8")
    (database.parent / "migrations" / "versions" / "0999_next.py").write_text(NEXT.format(head=HEAD), "utf-8")
    return clone


@pytest.fixture
def hosts(postgres: Postgres, tmp_path: Path, compiled: Path) -> Iterator[tuple[Server, Server]]:
    """One that answers and screens, and one that only answers."""
    name = postgres.empty()
    (tmp_path / "instance").mkdir()
    share_compiled(tmp_path / "instance", compiled)
    (tmp_path / "users.txt").write_text("# accounts\n", encoding="utf-8")
    same = {"DATABASE_URL": postgres.url(name), "HOSTS": "several", "WORKERS": "1", "JOB_WORKERS": "1"}
    one = Server(tmp_path, compiled, ROOT, HOST_NAME="one", **same)
    other = Server(tmp_path, compiled, next_version(tmp_path), HOST_NAME="other", ROLE="web", **same)
    yield one, other
    for each in (other, one):
        each.close()
        each.wait_until_silent()
    postgres.drop(name)


def kill_web_process_of(server: Server) -> None:
    """Kill the one that answers; the server has another one take its place."""
    told = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(server.process.pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    (web,) = [
        line for line in told.stdout.splitlines() if not re.search("app.py worker|resource_tracker", line)
    ]
    os.kill(int(web.split()[0]), signal.SIGKILL)


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

    # one that is started again in the version before finds tables of the next one
    kill_web_process_of(one)
    one.wait_until_answers()
    assert "those of version 0999 already, and " in (tmp_path / "server.log").read_text("utf-8")

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
