"""A backup of a server at work, restored elsewhere, is the same instance; anything else is refused."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from flask import Flask
from sqlalchemy import create_engine

from screening.backup import restoring
from screening.errors import NotReady
from screening.infra.atomic_file import locked
from screening.server import prepare
from screening.settings import Settings
from screening.web.app_factory import create_app
from screening.web.services import Services
from screening.worker import notices
from screening.worker.loop import Worker
from tests.conftest import Person
from tests.postgres_server import Postgres
from tests.shared import share_compiled
from tests.web.test_audit_log import events
from tests.web.test_data_api import SHOP, asked, sent
from tests.web.test_decisions_are_kept import detect, post, shop

Make = Callable[[], Flask]


@pytest.fixture
def elsewhere(
    request: pytest.FixtureRequest, settings: Settings, tmp_path: Path, compiled: Path
) -> Iterator[Make]:
    """Makes the app of a new instance, with a database of its own; only compiled nets are shared."""
    made: list[Flask] = []
    databases: list[str] = []

    def make(name: str = "new") -> Flask:
        folder = tmp_path / name
        instance = folder / "instance"
        if not instance.exists():
            instance.mkdir(parents=True)
            share_compiled(instance, compiled)
        url = f"sqlite:///{instance / 'screening.sqlite3'}"
        if settings.database_url.startswith("postgresql"):
            server: Postgres = request.getfixturevalue("postgres")
            databases.append(server.new())
            url = server.url(databases[-1])
        users = folder / "users.txt"
        app = create_app(replace(settings, instance=instance, users_file=users, database_url=url))
        made.append(app)
        return app

    yield make
    for app in made:
        services: Services = app.extensions["screening"]
        services.key_ring.close()
        services.database.engine.dispose()
    for name in databases:
        request.getfixturevalue("postgres").drop(name)


def run(app: Flask, *words: object) -> Any:
    return app.test_cli_runner().invoke(args=[str(word) for word in words])


def told(app: Flask, *words: object) -> str:
    """What a command says that ends well."""
    done = run(app, *words)
    assert done.exit_code == 0, done.output
    return str(done.stdout)


def refused(app: Flask, *words: object) -> str:
    """What a command says that can't; nothing was begun."""
    before = contents(app)
    done = run(app, *words)
    assert done.exit_code == 1, done.output
    assert contents(app) == before
    return str(done.stderr)


def contents(app: Flask) -> dict[str, bytes]:
    """All files of an instance but SQLite's own, which a reader may touch."""
    instance: Path = app.extensions["screening"].settings.instance
    return {
        str(path.relative_to(instance)): path.read_bytes()
        for path in instance.rglob("*")
        if path.is_file()
        and "sqlite3" not in path.name
        and "compiled" not in path.parts
        and path.suffix != ".lock"
    }


def seen(person: Person, *pages: str) -> list[str]:
    """Pages as a person sees them, without what is another for each session, and without the file of the ledger."""
    found = []
    for page in pages:
        answer = person.client.get(page)
        assert answer.status_code == 200, page
        found.append(re.sub(r'name="csrf[^>]*>|<dt>Segment</dt>.*', "", answer.get_data(as_text=True)))
    return found


@contextmanager
def at_work(mia: Person, services: Services) -> Iterator[None]:
    """Decide, seal, compact, upload and delete meanwhile."""
    ended, rounds = threading.Event(), []
    top, *lines = SHOP.splitlines()
    some = b"\n".join([top, *lines[-20:]])

    def go_on() -> None:
        while not ended.is_set():
            rounds.append(detect(mia, shop(100)[98:]))
            services.ledger.sealing.seal()
            for small in services.ledger.compaction.due(today=True):
                services.ledger.compaction.put_together(small)
            gone = mia.upload(some, "more.csv").headers["Location"]
            answer = mia.client.post(f"{gone}/delete", data={"csrf_token": mia.token("/upload")})
            assert answer.status_code == 303

    with ThreadPoolExecutor(1) as thread:
        writing = thread.submit(go_on)
        try:
            yield
        finally:
            ended.set()
    writing.result()
    assert rounds


@pytest.mark.both_databases
def test_a_backup_of_a_working_server_is_the_same_instance_elsewhere(
    login: Callable[[str], Person],
    services: Services,
    app: Flask,
    worker: Worker,
    elsewhere: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the pages would show one more notification where a busy machine took long
    monkeypatch.setattr(notices, "LONG_SECONDS", math.inf)
    mia = login("mia")
    screening = sent(mia, services, SHOP)
    row = detect(mia, shop(3))[0]["id"]
    assert post(mia, "/labels", {"labels": [{"id": row, "label": "fraud"}]}).get_json()["accepted"] == 1
    pages = [f"/results/{screening}", f"/decisions/{row}", f"/decisions/{row}/receipt", "/detectors"]
    before = seen(mia, *pages)
    receipt, head = asked(mia, f"/transactions/{row}/receipt"), told(app, "audit", "head")

    made = tmp_path / "saved.tar.gz"
    with at_work(mia, services):
        said = told(app, "backup", made)
    assert made.stat().st_mode & 0o777 == 0o600
    assert f"\nsha256 {hashlib.sha256(made.read_bytes()).hexdigest()}\n" in said
    assert not list(services.settings.instance.glob("backup-*"))

    new = elsewhere()
    restored = told(new, "restore", made)
    assert "\n  5 accounts\n" in restored
    mine: Services = new.extensions["screening"]
    assert mine.users.accounts() == services.users.accounts()
    again = Person(new, "mia").log_in()
    for was, shown in zip(before, seen(again, *pages), strict=True):
        assert shown.splitlines() == was.splitlines()
    # where a row lies changes as segments are put together
    moved = {"segment": None, "segment_hash": None}
    assert {**asked(again, f"/transactions/{row}/receipt"), **moved} == {**receipt, **moved}
    assert post(again, f"/transactions/{row}/receipt", {}).get_json()["same"] is True
    assert "; 0 faults" in told(new, "ledger", "verify")
    kept = tmp_path / "head.json"
    kept.write_text(head)
    assert "verified" in told(new, "audit", "verify", "--head", kept)
    prepare(mine.settings)
    assert events(mine.settings, "backup_restored")[0]["screenings"] >= 1
    assert events(services.settings, "backup_made")[0]["lacking"] == 0


@pytest.fixture
def saved(login: Callable[[str], Person], app: Flask, tmp_path: Path) -> Path:
    """A small backup, of a manager's decision."""
    detect(login("mia"), shop(1))
    file = tmp_path / "saved.tar"
    told(app, "backup", file)
    return file


Member = tuple[tarfile.TarInfo, bytes]


def rewritten(saved: Path, change: Callable[[list[Member]], None]) -> Path:
    """A backup with other members."""
    with tarfile.open(saved) as tar:
        members = [(info, tar.extractfile(info).read()) for info in tar.getmembers()]  # type: ignore[union-attr]
    change(members)
    made = saved.with_name("changed.tar")
    with tarfile.open(made, "w", format=tarfile.GNU_FORMAT) as tar:
        for info, data in members:
            if info.isreg():
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made


def place(members: list[Member], name: str) -> int:
    return next(at for at, (info, _) in enumerate(members) if info.name == name)


def renamed(name: str) -> Callable[[list[Member]], None]:
    def change(members: list[Member]) -> None:
        members[place(members, "users.txt")][0].name = name

    return change


def linked(members: list[Member]) -> None:
    info = members[place(members, "users.txt")][0]
    info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0


def flipped(members: list[Member]) -> None:
    at = place(members, "users.txt")
    members[at] = members[at][0], members[at][1].replace(b"analyst", b"manager", 1)


def twice(members: list[Member]) -> None:
    members.insert(-1, members[place(members, "users.txt")])


def without_a_file(members: list[Member]) -> None:
    del members[place(members, "instance/instance_id")]


def without_contents(members: list[Member]) -> None:
    members.pop()


def about(**said: Any) -> Callable[[list[Member]], None]:
    def change(members: list[Member]) -> None:
        members[0] = members[0][0], json.dumps({**json.loads(members[0][1]), **said}).encode()

    return change


def cut(saved: Path, size: int) -> Path:
    made = saved.with_name("cut.tar")
    made.write_bytes(saved.read_bytes()[:size])
    return made


def test_a_changed_backup_is_refused_before_anything_is_touched(saved: Path, elsewhere: Make) -> None:
    new = elsewhere()
    changes: dict[str, Callable[[list[Member]], None]] = {
        "“users.txt” isn't what was saved": flipped,
        "“instance/../../x” is nothing that a backup has": renamed("instance/../../x"),
        "“/etc/passwd” is nothing that a backup has": renamed("/etc/passwd"),
        "“elsewhere/x” is nothing that a backup has": renamed("elsewhere/x"),
        "“users.txt” is nothing that a backup has": linked,
        "“users.txt” is twice in it": twice,
        "isn't what was saved": without_a_file,
        "it has no contents.jsonl": without_contents,
        "its tables are 9999, and this one's": about(app_tables="9999"),
        "has format 2, and this version reads format 1": about(format=2),
        "its about.json can't be read": about(size="much"),
        "an instance with PostgreSQL, and DATABASE_URL names SQLite": about(database="postgresql"),
        "it holds more than it says": about(size=10),
        "it holds something else than it says": about(files=1),
    }
    for words, change in changes.items():
        assert words in refused(new, "restore", rewritten(saved, change))
    for size in (10, 700, saved.stat().st_size // 2):
        assert "This is no whole backup" in refused(new, "restore", cut(saved, size))
    assert not list(new.extensions["screening"].settings.instance.glob("restore-*"))


def test_only_an_instance_that_nobody_has_used_is_replaced(
    saved: Path, elsewhere: Make, app: Flask, tmp_path: Path
) -> None:
    said = refused(app, "restore", saved)
    assert "There is an instance here already (accounts: 5; decisions: 1)" in said
    new = elsewhere()
    with locked(new.extensions["screening"].settings.instance / "server"):
        assert "Another server works on the instance folder" in refused(new, "restore", saved)
    told(new, "restore", saved)
    assert "There is an instance here already" in refused(new, "restore", saved)

    assert f"{saved} is there already" in refused(app, "backup", saved)
    inside: Path = app.extensions["screening"].settings.instance
    assert "is in the instance itself" in refused(app, "backup", inside / "saved.tar")
    with locked(inside / "backup"):
        assert "Another backup" in refused(app, "backup", tmp_path / "other.tar")


def test_a_damaged_file_is_named_and_keeps_nothing_else_from_being_saved(
    saved: Path, elsewhere: Make, app: Flask, services: Services, tmp_path: Path
) -> None:
    assert services.ledger.sealing.seal() == 1
    (segment,) = services.ledger.segments.all()
    with services.ledger.segments.path(segment.name).open("r+b") as file:
        file.seek(100)
        file.write(b"!")
    made = tmp_path / "damaged.tar"
    done = run(app, "backup", made)
    assert done.exit_code == 1
    assert f"Damaged on the disk, and so in the backup: instance/ledger/{segment.name}.parquet" in done.stderr
    done = run(elsewhere(), "restore", made)
    assert done.exit_code == 1
    assert f"Damaged: ledger: {segment.name} isn't what was written" in done.stderr
    assert "  5 accounts\n  0 screenings\n  1 decision, 1 segment verified\n" in done.stdout


def test_the_secret_can_be_kept_apart(saved: Path, elsewhere: Make, app: Flask, tmp_path: Path) -> None:
    apart, secret = tmp_path / "apart.tar", tmp_path / "secret"
    told(app, "backup", apart, "--secret-to", secret)
    assert (
        secret.read_bytes()
        == (app.extensions["screening"].settings.instance / "instance_secret").read_bytes()
    )
    with tarfile.open(apart) as tar:
        assert "instance/instance_secret" not in tar.getnames()
    new = elsewhere()
    assert "made without the secret" in refused(new, "restore", apart)
    assert "Leave --secret out" in refused(new, "restore", saved, "--secret", secret)
    other = tmp_path / "other"
    other.write_text("o" * 64)
    assert "the secret of another instance" in refused(new, "restore", apart, "--secret", other)
    assert "1 decision," in told(new, "restore", apart, "--secret", secret)


def test_a_restore_that_was_killed_is_no_start_and_can_be_run_again(
    saved: Path, elsewhere: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = elsewhere()
    mine: Services = new.extensions["screening"]

    def killed(_source: Path, _target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(restoring, "replace_users", killed)
        run(new, "restore", saved)
    with pytest.raises(NotReady, match="Run it again"):
        prepare(mine.settings)
    # another process
    again = elsewhere()
    assert "5 accounts" in told(again, "restore", saved)
    prepare(mine.settings)


def test_a_backup_of_older_tables_is_brought_to_the_present_version(saved: Path, elsewhere: Make) -> None:
    def older(members: list[Member]) -> None:
        at = place(members, "databases/screening.sqlite3")
        file = saved.with_name("older.sqlite3")
        file.write_bytes(members[at][1])
        config = Config()
        config.set_main_option("script_location", "screening.infra:migrations")
        config.set_main_option("path_separator", "os")
        with create_engine(f"sqlite:///{file}").begin() as connection:
            config.attributes.update(connection=connection, earlier=True)
            command.downgrade(config, "0027")
        members[at] = members[at][0], file.read_bytes()

    made = rewritten(saved, older)
    resealed(made, app_tables="0027")
    new = elsewhere()
    told(new, "restore", made)
    Person(new, "mia").log_in()


def resealed(file: Path, **said: Any) -> None:
    """Write sizes and hashes of a backup again."""

    def change(members: list[Member]) -> None:
        files = members[1:-1]
        lines = [
            {"name": info.name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for info, data in files
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        members[-1] = members[-1][0], text.encode()
        about(size=sum(len(data) for _, data in files), **said)(members)

    shutil.move(rewritten(file, change), file)
