"""The real server and clients that are slow, leave, send what can't be a request, or read slowly: by raw sockets."""

from __future__ import annotations

import http.client
import io
import json
import signal
import socket
import statistics
import sys
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.served import BOUNDARY, PASSWORD, Server
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="signals as on Unix: run `make test` on Linux"
)
FORM = "Content-Type: application/x-www-form-urlencoded"
MOST_SECONDS = 5
"""One page on a machine that runs other tests beside it; where senders or readers hold the threads, it takes as long as
they like."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, compiled: Path) -> Iterator[Server]:
    """One server for all; every row is flagged."""
    made = Server(tmp_path_factory.mktemp("lines"), compiled, FRAUD_THRESHOLD="1e-30")
    made.log_in()
    yield made
    made.close()


def cookie_of(server: Server) -> str:
    return "; ".join(f"{name}={value}" for name, value in server.cookies.items())


def line_to(server: Server, sent: bytes, seconds: float = 30) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", server.port), timeout=seconds)
    line.sendall(sent)
    return line


def said(line: socket.socket) -> bytes:
    """All that the server says until it closes the line."""
    parts = []
    with line, suppress(ConnectionResetError):
        while part := line.recv(65536):
            parts.append(part)
    return b"".join(parts)


def upload_head(server: Server, token: str, length: int = 50_000_000) -> bytes:
    part = f"--{BOUNDARY}\r\nContent-Disposition: form-data; name="
    return (
        f"POST /upload HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie_of(server)}\r\nContent-Length: {length}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
        f'{part}"csrf_token"\r\n\r\n{token}\r\n{part}"file"; filename="a.csv"\r\n\r\n'
    ).encode()


@pytest.mark.security(40, 48)
def test_hundreds_of_slow_senders_keep_nobody_waiting(server: Server) -> None:
    """220 bodies of which one byte comes, and 130 uploads of one account that get a byte a second."""
    own = dict(server.cookies)
    server.cookies = {}
    assert server.form("/signup", username="bob", email="bob@bank.example", password=PASSWORD)[0] == 303
    assert server.form("/login", username="bob", password=PASSWORD)[0] == 303
    token = server.token("/upload")
    known = f"Cookie: {cookie_of(server)}\r\nX-CSRFToken: {token}"
    heads = [
        f"POST /login HTTP/1.1\r\nHost: a\r\n{FORM}\r\nContent-Length: 1000\r\n\r\nu",
        f"POST /login HTTP/1.1\r\nHost: a\r\n{FORM}\r\nContent-Length: 900000\r\n\r\nu",
        f"POST /login HTTP/1.1\r\nHost: a\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nu\r\n",
        f"POST /detect_fraud HTTP/1.1\r\nHost: a\r\n{known}\r\nContent-Length: 9000000\r\n\r\n" + "{",
    ]
    upload = upload_head(server, token)
    server.cookies = own
    stop = threading.Event()
    with ExitStack() as lines:
        lines.callback(stop.set)
        idle = [lines.enter_context(line_to(server, heads[i % 4].encode())) for i in range(220)]
        slow = [lines.enter_context(line_to(server, upload)) for _ in range(130)]

        def drip() -> None:
            while not stop.wait(1):
                for line in slow:
                    with suppress(OSError):
                        line.send(b"1")

        threading.Thread(target=drip, daemon=True).start()
        taken: dict[str, list[float]] = {"/healthz": [], "/results": []}
        ends = time.monotonic() + 25  # small bodies are waited for 20 seconds
        while time.monotonic() < ends:
            for path, times in taken.items():
                began = time.perf_counter()
                assert server.get(path)[0] == 200
                times.append(time.perf_counter() - began)
            time.sleep(0.1)
        # other tests compute beside this one: not the worst of all, and no tenth of a second counts
        assert statistics.median(taken["/healthz"]) < 1.0
        assert statistics.median(taken["/results"]) < 2.0
        assert max(*taken["/healthz"], *taken["/results"]) < MOST_SECONDS
        answers = Counter[bytes]()
        for line in (*idle, *slow):
            line.settimeout(20)
            with suppress(ConnectionError):
                answers[line.recv(12)[9:]] += 1
    assert set(answers) <= {b"408", b"413", b"429"}, answers
    assert answers[b"408"] >= 100  # all of the small bodies
    assert answers[b"429"] >= 100


@pytest.mark.security(48)
def test_an_account_that_sends_too_much_at_once_is_told_so_and_gets_its_places_back(
    server: Server, sample: bytes
) -> None:
    head = upload_head(server, server.token("/upload"))
    with ExitStack() as lines:
        for _ in range(12):  # six in each of two web processes, if they get as many
            lines.enter_context(line_to(server, head))
        time.sleep(0.5)
        full = [server.upload(sample) for _ in range(8)]
        refused = [(headers, body) for status, headers, body in full if status == 429]
        assert refused
        assert all(headers["Retry-After"] == "5" for headers, _ in refused)
        assert b"Your account sends 6 files at once already" in refused[0][1]
    wait_until(
        lambda: all(server.upload(sample)[0] == 303 for _ in range(4)),
        "the places of those who left weren't given back",
    )


@pytest.mark.security(48)
def test_those_who_read_slowly_keep_nobody_waiting(server: Server, sample: bytes) -> None:
    location = screened(server, sample, 20_000)
    ask = f"GET {location}/scores.csv HTTP/1.1\r\nHost: a\r\nCookie: {cookie_of(server)}\r\n\r\n".encode()
    with ExitStack() as lines:
        for _ in range(120):
            lines.enter_context(line_to(server, ask))
        deadline = (
            time.monotonic() + 45
        )  # what their sockets hold is computed first; they may go on for 60 seconds
        quick = 0
        while quick < 20:
            began = time.perf_counter()
            assert server.get("/results")[0] == 200
            quick = quick + 1 if time.perf_counter() - began < MOST_SECONDS else 0
            assert time.monotonic() < deadline


@pytest.mark.security(59)
@pytest.mark.parametrize(
    ("path", "length"), [("/upload", 5_000_000), ("/upload", 5_000_000_000), ("/login", 5_000_000)]
)
def test_an_upload_that_is_refused_early_says_that_the_line_closes(
    server: Server, path: str, length: int
) -> None:
    sent = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n{FORM}\r\n\r\n".encode()
    lines = [
        line_to(server, sent) for _ in range(12)
    ]  # a line that something still refers to stayed open, one in four
    for line in lines:
        line.sendall(b"x" * 500_000)  # on its way before the answer was read: it mustn't be lost for that
    for line in lines:
        answer = said(line)
        assert answer[9:12] in (b"303", b"413", b"429", b"503")
        assert b"\r\nconnection: close\r\n" in answer.lower()


@pytest.mark.security(59)
def test_a_line_whose_bodies_were_read_stays_open(server: Server) -> None:
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    for path in ("/healthz", "/login", "/no-such-page"):
        line.request("POST", path, b"x" * 1000, {"Content-Type": "application/x-www-form-urlencoded"})
        answer = line.getresponse()
        answer.read()
        assert answer.headers["Connection"] is None
        assert line.sock is not None
    line.close()


HOST = b"Host: a\r\n"
BODY = b"3\r\nabc\r\n0\r\n\r\n"


@pytest.mark.security(41)
@pytest.mark.parametrize(
    "sent",
    [
        b"GET /login HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /login HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET /login HTTP/1.1\r\n\r\n",
        b"GET /login HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /login HTTP/1.1\r\n" + HOST + b"X: a\r\n folded\r\n\r\n",
        b"GET /login HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
        b"GET /login HTTP/1.1\r\n" + HOST + b"X: a\rb\r\n\r\n",
        b"POST /login HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"POST /login HTTP/1.1\r\n" + HOST + b"Content-Length: 3, 4\r\n\r\nabc",
        b"POST /login HTTP/1.1\r\n" + HOST + b"Content-Length: +3\r\n\r\nabc",
        b"POST /login HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\nabc",
        b"POST /login HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n" + BODY,
        b"POST /login HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + BODY,
        b"POST /login HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + BODY,
        b"POST /login HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
        b"POST /login HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        b"POST /login HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc",
    ],
    ids=range(17),
)  # fmt: skip
def test_a_request_that_two_readers_may_read_in_two_ways_is_refused(server: Server, sent: bytes) -> None:
    line = line_to(server, sent)
    line.settimeout(10)
    answer = line.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400 "), answer


@pytest.mark.security(41)
@pytest.mark.parametrize("turned", [False, True])
def test_what_follows_a_body_of_two_lengths_is_never_a_request(server: Server, *, turned: bool) -> None:
    """The chunks count, as RFC 9112 (6.1) has it, and the line is closed: nothing can be smuggled behind."""
    headers = [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"]
    head = b"".join(reversed(headers) if turned else headers)
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    answer = said(line_to(server, b"POST /login HTTP/1.1\r\n" + HOST + head + b"\r\n0\r\n\r\n" + smuggled))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nconnection: close\r\n" in answer.lower()


@pytest.mark.security(41)
@pytest.mark.parametrize(
    ("sent", "status"),
    [
        # a line that ends in LF alone is a line (RFC 9112, 2.2), so what it hides from another reader counts here
        (b"POST /login HTTP/1.1\n" + HOST + b"X: a\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", b"400"),
        (b"POST /login HTTP/1.1\r\n" + HOST + b"Content-Length: 3\r\nX: a\nContent-Length: 4\r\n\r\nabc", b"400"),
        (b"GET /login HTTP/1.1\r\n" + HOST + b"X: a\nHost: b\r\n\r\n", b"400"),
        (b"GET /login HTTP/1.1\r\n" + HOST + b"X: a\n folded\r\n\r\n", b"400"),
        (b"GET /login HTTP/1.1\r\n" + HOST + b"X: a\n\0: b\r\n\r\n", b"400"),
        (b"POST /login HTTP/1.1\n" + HOST + b"Transfer-Encoding: chunked\n\n3\nabc\n0\n\n", b"400"),
    ],
    ids=range(6),
)  # fmt: skip
def test_a_bare_line_feed_hides_no_header(server: Server, sent: bytes, status: bytes) -> None:
    line = line_to(server, sent)
    line.settimeout(10)
    assert line.recv(4096)[9:12] == status


@pytest.mark.security(41)
def test_bare_line_feeds_make_the_same_request_as_whole_line_ends(server: Server) -> None:
    whole = b"GET /nothing-here HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answers = [said(line_to(server, sent)) for sent in (whole, whole.replace(b"\r\n", b"\n"))]
    assert [answer.count(b"HTTP/1.1 ") for answer in answers] == [1, 1]
    assert {answer[:12] for answer in answers} == {b"HTTP/1.1 404"}


@pytest.mark.security(41)
@pytest.mark.parametrize("hidden", [b"Transfer-Encoding: chunked", b"Content-Length: 0"])
def test_a_length_behind_a_bare_line_feed_smuggles_no_request(server: Server, hidden: bytes) -> None:
    """Whoever takes the line for the value of X sends five bytes more, or the next request, as the body."""
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    other = b"Content-Length: %d\r\n" % (5 + len(smuggled)) if hidden.startswith(b"T") else b""
    head = b"POST /login HTTP/1.1\r\n" + HOST + b"X: a\n" + hidden + b"\r\n" + other
    body = b"0\r\n\r\n" if other else b""
    answer = said(line_to(server, head + b"Connection: close\r\n\r\n" + body + smuggled))
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nconnection: close\r\n" in answer.lower()


def screened(server: Server, sample: bytes, rows: int, *, bad: bool = False) -> str:
    """The address of a screening of so many rows, of which every second is set aside if they are to be bad."""
    header, _, body = sample.partition(b"\n")
    lines = (body.splitlines() * (rows // 200 + 1))[:rows]
    if bad:
        lines = [b"x" + line if number % 2 else line for number, line in enumerate(lines)]
    status, headers, answer = server.upload(b"\n".join([header, *lines, b""]), set_aside="1")
    assert status == 303, answer
    return str(headers["Location"])


def delete(server: Server, location: str) -> None:
    assert server.form(f"{location}/delete")[0] == 303


def cut_input(server: Server, location: str) -> None:
    file = server.folder / "instance" / "screenings" / location.rsplit("/", 1)[1] / "input"
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size // 2)


ROWS = {"flagged.csv": 30_000, "rejected.csv": 60_000, "scores.csv": 120_000, "report.xlsx": 10_000}
"""More than the sockets on the way hold."""


@pytest.mark.security(50)
@pytest.mark.parametrize(
    ("name", "happens", "surely_cut"),
    [
        ("flagged.csv", delete, True),
        ("rejected.csv", delete, True),
        ("scores.csv", delete, False),
        ("report.xlsx", delete, False),
        ("flagged.csv", cut_input, True),
        ("scores.csv", cut_input, True),
    ],
)
def test_a_download_that_breaks_looks_broken(
    server: Server, sample: bytes, name: str, happens: Callable[[Server, str], None], *, surely_cut: bool
) -> None:
    location = screened(server, sample, ROWS[name], bad=name == "rejected.csv")
    whole = server.get(f"{location}/{name}")[2]
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    line.connect()
    line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    line.request("GET", f"{location}/{name}", headers={"Cookie": cookie_of(server)})
    answer = line.getresponse()
    assert answer.status == 200
    begun = answer.read(500)
    time.sleep(0.5)
    happens(server, location)
    if surely_cut:
        with pytest.raises(http.client.IncompleteRead):
            answer.read()
    else:
        got = begun + answer.read()
        assert abs(len(got) - len(whole)) < 100  # a workbook holds the time at which it was made
        if name.endswith(".xlsx"):
            assert zipfile.ZipFile(io.BytesIO(got)).testzip() is None
    line.close()


@pytest.mark.security(50)
def test_a_download_of_a_deleted_screening_is_not_found(server: Server, sample: bytes) -> None:
    location = screened(server, sample, 200)
    delete(server, location)
    for name in ("scores.csv", "flagged.csv", "rejected.csv", "report.xlsx"):
        assert server.get(f"{location}/{name}")[0] == 404


@pytest.mark.security(40)
def test_a_stop_under_load_loses_no_accepted_file(tmp_path: Path, compiled: Path, sample: bytes) -> None:
    server = Server(tmp_path, compiled)
    try:
        server.log_in()
        body = server.form_body(sample)
        accepted: list[str] = []
        stop = threading.Event()

        def send() -> None:
            while not stop.is_set():
                try:
                    status, headers, _ = server.post_form("/upload", body, Prefer="wait=0")
                except (OSError, http.client.HTTPException):
                    return
                if status == 303:
                    accepted.append(headers["Location"])

        senders = [threading.Thread(target=send) for _ in range(6)]
        for sender in senders:
            sender.start()
        wait_until(lambda: len(accepted) > 10)
        began = time.monotonic()
        server.stop(signal.SIGTERM)
        assert time.monotonic() - began < 20
        stop.set()
        for sender in senders:
            sender.join(30)
        assert len(accepted) > 10
        server.start()
        for location in accepted:
            assert server.wait_for(location.rsplit("/", 1)[1])["state"] == "done"
        assert json.loads(server.get(accepted[-1] + ".json")[2])["rows"] == 200
    finally:
        server.close()
