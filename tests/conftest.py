"""The app as it is served, on a folder of its own, with a real worker beside it."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, Response, request
from flask.sessions import SecureCookieSessionInterface
from flask.testing import FlaskClient
from hypothesis import settings as drawing
from werkzeug.test import TestResponse

from screening.accounts import passwords
from screening.bucket.storage import Storage
from screening.settings import ROOT, Settings
from screening.web.app_factory import create_app
from screening.web.pages.explore import dashboard
from screening.web.services import Services
from screening.web.views.api_description import routes
from screening.worker.loop import Worker
from tests.kept import keep_detectors, keep_migrations, keep_routes, keep_statements, keep_templates
from tests.postgres_server import POSTGRESQL, SQLITE, database_url, postgres
from tests.s3_server import BUCKET, FOLDER, bucket_home, s3_port, storage
from tests.scheduling import place
from tests.served import PASSWORD
from tests.shared import new_databases, run_folder, share_compiled

# Before scikit-learn or XGBoost load OpenMP: its idle threads must not spin on a core that another worker needs.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Nets as small as those of the tests train in 60 % of the processor time without threads inside of an operation, and
# forests as small as theirs in 75 %.
for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(name, "1")
# The processes that tests start keep what they compile of the app: without, each of them took half a second more.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

__all__ = ["bucket_home", "database_url", "postgres", "s3_port", "storage"]  # fixtures

# An app in the process of the tests doesn't get its dashboard ready by itself: the thread would parse routes beside
# the next app, and Python 3.11 counts the depth of all threads' parsing together ("recursion depth mismatch").
dashboard.begun.set()

# On a machine that does other things an example may take seconds of the clock: pytest-timeout bounds the whole test.
drawing.register_profile("suite", deadline=None)
drawing.load_profile("suite")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run one worker more than there are cores with ``-n auto``: a third of a run is waiting for other processes."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out the tests as :mod:`tests.scheduling` says.

    Not ``--dist loadgroup``: pytest-xdist 3.8 groups nothing with pytest 9.2.
    """
    from tests.scheduling import FromBothEnds

    if config.getvalue("dist") != "load":
        return None
    config.option.loadscopereorder = False  # the order is that of the collection
    return FromBothEnds(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests marked ``both_databases`` that use ``database_url``, or what is made of it, once with each."""
    has = metafunc.definition.get_closest_marker
    if has("both_databases") and not has("sqlite_only") and "database_url" in metafunc.fixturenames:
        metafunc.parametrize("database_url", [SQLITE, POSTGRESQL], indirect=True)
    if has("both_homes") and "storage" in metafunc.fixturenames:
        metafunc.parametrize("storage", [FOLDER, BUCKET], indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: place(item.nodeid))


def pytest_collection_finish() -> None:
    """Keep what was imported and collected out of the garbage collector's way: it lives as long as the run.

    Looking through it again and again was a tenth of the processor time of tests of pages.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)


@pytest.fixture(scope="session", autouse=True)
def many_files() -> None:
    """Let this process have as many files open as it may: thousands of tests need more than the usual 1,024."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = ENOUGH_FILES if hard == resource.RLIM_INFINITY else min(hard, ENOUGH_FILES)
        if soft != resource.RLIM_INFINITY and soft < most:
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


ENOUGH_FILES = 20_000
OPEN_FILES, MORE_FILES = Path("/proc/self/fd"), 300
_left = [0]
"""Files that stayed open after the last collection."""


@pytest.fixture(autouse=True)
def let_go_of_files() -> Iterator[None]:
    """Collect what earlier tests left once it holds many more files open.

    Apps, workers and their databases refer to each other, and a collection comes ever more rarely as a process grows.
    """
    yield
    if OPEN_FILES.exists() and sum(1 for _ in OPEN_FILES.iterdir()) > _left[0] + MORE_FILES:
        gc.collect()
        _left[0] = sum(1 for _ in OPEN_FILES.iterdir())


CHEAP_HASH = "scrypt:1024:8:1"
"""A thirtieth of what a hash costs in the app; it was a third of the time of tests that log in."""


@pytest.fixture(autouse=True)
def cheap_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords cost next to nothing in the tests' own process, but for those marked ``real_hashes``."""
    if "real_hashes" not in request.keywords:
        monkeypatch.setattr(passwords, "METHOD", CHEAP_HASH)


@pytest.fixture(scope="session", autouse=True)
def kept() -> None:
    """Each test's app finds what an earlier one compiled and read: two thirds of the time that it took."""
    keep_templates()
    keep_routes()
    keep_statements()
    keep_migrations()
    keep_detectors()


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiling a net takes seconds; all tests of all workers share what was compiled (the cache has locks)."""
    folder = run_folder(tmp_path_factory) / "compiled"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def settings(tmp_path: Path, compiled: Path, database_url: str, storage: Storage) -> Settings:
    instance = tmp_path / "instance"
    shutil.copytree(new_databases(compiled.parent), instance)
    share_compiled(instance, compiled)
    users = tmp_path / "users.txt"
    users.write_text("# accounts\n", encoding="utf-8")
    return Settings(
        instance=instance,
        users_file=users,
        database_url=database_url,
        storage_url=storage.url,
        secret_key="k" * 32,
        review_sample=0.0,  # tests count the cases of flagged rows
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    built = create_app(settings)
    undescribed = watch_statuses(built)
    yield built
    assert undescribed == [], "answers that /openapi.json doesn't know"
    services: Services = built.extensions["screening"]
    services.key_ring.close()
    for tables in (services.database, services.ledger.tables):
        tables.engine.dispose()


def watch_statuses(app: Flask) -> list[tuple[str, int]]:
    """Note answers of the data API whose status its description lacks; the list fills while the app is used."""
    undescribed: list[tuple[str, int]] = []
    known: dict[str, set[int]] = {}

    @app.after_request
    def note(response: Response) -> Response:
        if not known:
            known.update({route.endpoint: {*route.statuses, *route.operation.answers} for route in routes()})
        told = known.get(request.endpoint or "")
        if told is not None and response.mimetype != "text/html" and response.status_code not in told:
            undescribed.append((f"{request.method} {request.path}", response.status_code))
        return response

    return undescribed


@pytest.fixture
def services(app: Flask) -> Services:
    found: Services = app.extensions["screening"]
    return found


@pytest.fixture
def worker(settings: Settings, services: Services) -> Iterator[Worker]:
    """The real worker, in a thread instead of a process."""
    working = Worker(settings, services.screenings, services.detectors)
    thread = threading.Thread(target=working.loop)
    thread.start()
    yield working
    working.stop()
    thread.join(timeout=30)
    assert not thread.is_alive()


class Person:
    """Somebody with a browser: keeps cookies and sends the token of the page, as a browser does."""

    def __init__(self, app: Flask, name: str) -> None:
        self.name = name
        self.client: FlaskClient = app.test_client()

    def token(self, page: str = "/login") -> str:
        text = self.client.get(page).get_data(as_text=True)
        return text.split('name="csrf_token"', 1)[1].split('value="', 1)[1].split('"', 1)[0]

    def post(self, url: str, page: str = "/login", **fields: Any) -> TestResponse:
        return self.client.post(
            url, data={"csrf_token": self.token(page), **fields}, content_type="multipart/form-data"
        )

    def sign_up(self, password: str = PASSWORD) -> Person:
        answer = self.post(
            "/signup", "/signup", username=self.name, email=f"{self.name}@bank.example", password=password
        )
        assert answer.status_code == 303, answer.get_data(as_text=True)
        return self

    def log_in(self, password: str = PASSWORD) -> Person:
        answer = self.post("/login", username=self.name, password=password)
        assert answer.status_code == 303, answer.get_data(as_text=True)
        return self

    def take_session(self, session_id: str) -> Person:
        """Have the cookie of a session, as a log-in gives it."""
        signer = SecureCookieSessionInterface().get_signing_serializer(self.client.application)
        assert signer is not None
        self.client.set_cookie("session", str(signer.dumps({"_user_id": session_id})))
        return self

    def upload(self, content: bytes, filename: str = "payments.csv", **fields: Any) -> TestResponse:
        """Send a file through the form, its token first, as the page has it."""
        from io import BytesIO

        data = {"csrf_token": self.token("/upload"), **fields, "file": (BytesIO(content), filename)}
        return self.client.post("/upload", data=data, content_type="multipart/form-data")


@pytest.fixture
def analyst(app: Flask) -> Person:
    """A logged-in person without special rights (the first account of all is another's, who is admin)."""
    Person(app, "first").sign_up()
    return Person(app, "ana").sign_up().log_in()


@pytest.fixture
def sample() -> bytes:
    return (ROOT / "transactions_data.csv").read_bytes()
