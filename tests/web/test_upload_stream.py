from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from flask import Request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.exceptions import BadRequest, ClientDisconnected, RequestEntityTooLarge
from werkzeug.test import EnvironBuilder

from screening.uploads.upload_folder import UploadFolder
from screening.web.http import upload_stream
from screening.web.http.upload_stream import FileCallbacks, MultipartBody, first_bytes, store

EDGE = b"b-o-u-n-d"
PART = b"--" + EDGE + b"\r\nContent-Disposition: form-data; name="


def form(content: bytes, after: bytes = b"") -> bytes:
    return (
        b"--" + EDGE + b'\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\nabc\r\n'
        b"--" + EDGE + b'\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        + content + b"\r\n" + after + b"--" + EDGE + b"--\r\n"
    )  # fmt: skip


class Dribble(io.RawIOBase):
    """A stream that gives a few bytes at a time, wherever they end."""

    def __init__(self, data: bytes, step: int) -> None:
        self._inner, self._step = io.BytesIO(data), step

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(min(size, self._step))


def body_of(
    data: bytes, *, step: int = 1 << 20, length: int | None = -1, limit: int = 1 << 30
) -> MultipartBody:
    environ = EnvironBuilder(method="POST", path="/upload").get_environ()
    environ["CONTENT_TYPE"] = f"multipart/form-data; boundary={EDGE.decode()}"
    environ["wsgi.input"] = Dribble(data, step)
    environ["CONTENT_LENGTH"] = "" if length is None else str(len(data) if length < 0 else length)
    if length is None:
        environ["wsgi.input_terminated"] = True
        del environ["CONTENT_LENGTH"]
    return MultipartBody(Request(environ), limit)


def received(body: MultipartBody) -> tuple[dict[str, str], bytes]:
    found = body.fields()
    content = b"".join(body.content())
    body.finish()
    return found.fields, content


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    content=st.lists(
        st.sampled_from([b"a", b"\r", b"\n", b"\r\n", b"--", EDGE, b"\r\n--b-o-u-n", b"1,2\n"]), max_size=30
    ).map(b"".join).filter(lambda text: b"\r\n--" + EDGE not in b"\r\n" + text),
    step=st.integers(1, 40),
    announced=st.booleans(),
)  # fmt: skip
def test_the_content_comes_through_byte_for_byte_wherever_the_pieces_end(
    content: bytes, step: int, announced: bool
) -> None:
    body = body_of(form(content), step=step, length=-1 if announced else None)
    assert received(body) == ({"csrf_token": "abc"}, content)


def test_an_empty_file_is_one() -> None:
    assert received(body_of(form(b"")))[1] == b""


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize("name", [b'"a.csv"', b'"csrf_token"'], ids=["file", "field"])
def test_an_empty_part_may_share_its_line_break_with_the_boundary(name: bytes, step: int) -> None:
    """As RFC 2046 allows, and as werkzeug's client sends it."""
    data = form(b"").replace(b"abc\r\n", b"\r\n")
    head, tail = data.split(name + b"\r\n\r\n\r\n")
    assert received(body_of(head + name + b"\r\n\r\n" + tail, step=step)) == ({"csrf_token": ""}, b"")


def test_behind_the_file_such_a_part_is_refused() -> None:
    """The parser would take the next part for its value: a wish would be passed over in silence."""
    later = PART + b'"a"\r\n\r\n' + PART + b'"detector"\r\n\r\ncard\r\n'
    with pytest.raises(BadRequest, match="has no line break of its own"):
        received(body_of(form(b"1,2\n", later)))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (b'filename="a%22b.csv"', 'a"b.csv'),
        ('filename="Zürich.csv"'.encode(), "Zürich.csv"),
        (b"filename*=UTF-8''Z%C3%BCrich.csv", "Zürich.csv"),
        ('filename="Zürich.csv"'.encode("latin-1"), "Z\ufffdrich.csv"),
        (b'filename="' + b"a" * 5000 + b'.csv"', "a" * 5000 + ".csv"),
    ],
    ids=["quotation mark", "UTF-8", "RFC 5987", "Latin-1", "long"],
)
def test_the_name_of_a_file_is_read_as_clients_write_it(names: bytes, expected: str) -> None:
    body = body_of(form(b"1,2\n").replace(b'filename="a.csv"', names))
    assert body.fields().filename == expected
    assert b"".join(body.content()) == b"1,2\n"


def test_fields_behind_the_file_are_read_over() -> None:
    later = b"--" + EDGE + b'\r\nContent-Disposition: form-data; name="button"\r\n\r\nsend\r\n'
    assert received(body_of(form(b"1,2\r\n3,4\r\n", later)))[1] == b"1,2\r\n3,4\r\n"


@pytest.mark.parametrize(
    "name", [b'detector"', b'set_aside"', b'file"; filename="b.csv"', b'more"; filename="b.csv"']
)
def test_a_wish_or_another_file_behind_the_file_is_not_passed_over_in_silence(name: bytes) -> None:
    later = b"--" + EDGE + b'\r\nContent-Disposition: form-data; name="' + name + b"\r\n\r\ncard\r\n"
    with pytest.raises(BadRequest, match=r"more than one file|after the file"):
        received(body_of(form(b"1,2\r\n3,4\r\n", later)))


@pytest.mark.security(26)
@pytest.mark.parametrize("missing", [1, 5, 12, 20, 40])
def test_a_body_that_ends_early_is_noticed_announced_or_not(missing: int) -> None:
    data = form(b"1,2\n" * 50)
    with pytest.raises(ClientDisconnected):
        received(body_of(data[:-missing], length=len(data)))
    if missing > 4:  # without a length only the closing boundary tells
        with pytest.raises(ClientDisconnected):
            received(body_of(data[:-missing], length=None))


@pytest.mark.security(26)
def test_more_than_the_limit_is_refused_by_announcement_and_by_count() -> None:
    data = form(b"1,2\n" * 1000)
    with pytest.raises(RequestEntityTooLarge):
        body_of(data, limit=1000)
    with pytest.raises(RequestEntityTooLarge):
        received(body_of(data, length=None, step=64, limit=1000))


def test_a_body_of_another_kind_is_refused() -> None:
    environ = EnvironBuilder(method="POST", data="{}", content_type="application/json").get_environ()
    with pytest.raises(BadRequest):
        MultipartBody(Request(environ), 1000)


@pytest.mark.parametrize("boundary", ["", "b" * 300, '"a\nb"', "*=utf-8''a%0Ab"], ids=range(4))
def test_a_boundary_that_is_none_is_refused(boundary: str) -> None:
    equals = "" if boundary.startswith("*") else "="
    environ = EnvironBuilder(method="POST", data=form(b"1,2\n")).get_environ()
    environ["CONTENT_TYPE"] = f"multipart/form-data; boundary{equals}{boundary}"
    with pytest.raises(BadRequest, match="multipart/form-data"):
        MultipartBody(Request(environ), 1000)


def test_a_field_as_large_as_a_file_is_refused() -> None:
    data = b"--" + EDGE + b'\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 100_000 + b"\r\n"
    with pytest.raises(RequestEntityTooLarge):
        body_of(data, length=None).fields()


def test_what_is_stored_is_what_came_with_its_size_and_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_stream, "ALIVE_SECONDS", 0.0)
    folder = UploadFolder(tmp_path, "a")
    folder.create()
    content = bytes(range(256)) * 500
    body = body_of(form(content), step=999)
    body.fields()
    pieces = body.content()
    signs: list[int] = []
    size, sha256 = store(
        first_bytes(pieces, 4096), pieces, folder, FileCallbacks(lambda: signs.append(1), lambda: None)
    )
    assert folder.input.read_bytes() == content
    assert (size, sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert len(signs) > 10


class Endless(io.RawIOBase):
    """A head, then the same bytes again and again, and how much of it was read."""

    def __init__(self, head: bytes, again: bytes) -> None:
        self._head, self._again, self.read_bytes = head, again, 0

    def read(self, size: int = -1) -> bytes:
        given = (self._head + self._again * (size // len(self._again) + 1))[:size]
        self._head = self._head[size:]
        self.read_bytes += len(given)
        return given


@pytest.mark.security(47)
@pytest.mark.parametrize(
    ("head", "again"),
    [
        (b"", b"a preamble that never ends "),
        (b"", b"a preamble of lines\r\n"),
        (PART, b"x"),
        (PART + b'"a"\r\nX: ', b"y"),
        (PART + b'"a"\r\n', b"X-Head: of a part\r\n"),
        (PART + b'"a"\r\n\r\n', b"a value that never ends "),
        (PART + b'"a"\r\n\r\n1\r\n', PART + b'"a"\r\n\r\n1\r\n'),
    ],
    ids=range(7),
)
def test_nothing_before_the_file_is_kept_beyond_some_hundred_kilobytes(head: bytes, again: bytes) -> None:
    body, stream = body_of(b"", length=1 << 29), Endless(head, again)
    body._stream = stream
    with pytest.raises((RequestEntityTooLarge, BadRequest)):
        body.fields()
    assert stream.read_bytes <= 3 * upload_stream.READ_BYTES


@pytest.mark.security(47)
@pytest.mark.parametrize("again", [b"an epilogue ", b"a line of it\r\n", b"\r\n--"], ids=range(3))
def test_nothing_behind_the_file_is_kept_beyond_some_hundred_kilobytes(again: bytes) -> None:
    body, stream = body_of(b"", length=1 << 29), Endless(form(b"1,2\n"), again)
    body._stream = stream
    assert body.fields().filename == "a.csv"
    assert b"".join(body.content()) == b"1,2\n"
    with pytest.raises((RequestEntityTooLarge, BadRequest)):
        body.finish()
    assert stream.read_bytes <= 3 * upload_stream.READ_BYTES
