"""Static files: kept for ever by their hash, compressed where they are text, the same bytes either way."""

from __future__ import annotations

import gzip
import hashlib
import re

import pytest

from screening.settings import ROOT
from tests.conftest import Person

FILES = sorted(
    path.relative_to(ROOT / "static").as_posix() for path in (ROOT / "static").rglob("*") if path.is_file()
)
PACKED = {"Accept-Encoding": "gzip, br"}


def test_pages_name_static_files_by_their_hash_and_vendored_ones_by_their_version(nobody: Person) -> None:
    page = nobody.client.get("/").get_data(as_text=True)
    named = re.findall(r'(?:href|src)="/static/([^"]+)"', page)
    assert len(named) > 5
    for address in named:
        name, _, query = address.partition("?")
        content = (ROOT / "static" / name).read_bytes()
        assert query == (
            "" if name.startswith("vendor/") else f"v={hashlib.sha256(content).hexdigest()[:12]}"
        )
        answer = nobody.client.get(f"/static/{address}")
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.data == content


@pytest.mark.parametrize("name", FILES)
def test_a_compressed_file_is_the_same_file(nobody: Person, name: str) -> None:
    plain, packed = (nobody.client.get(f"/static/{name}", headers=headers) for headers in ({}, PACKED))
    content = (ROOT / "static" / name).read_bytes()
    assert plain.data == content
    assert "Content-Encoding" not in plain.headers
    text = name.endswith((".css", ".js", ".json", ".svg", ".md", ".txt")) and len(content) >= 1024
    assert (packed.headers.get("Content-Encoding") == "gzip") is text
    assert (gzip.decompress(packed.data) if text else packed.data) == content
    assert packed.content_type == plain.content_type
    if text:
        assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
        assert len(packed.data) < len(content)
        assert plain.headers["ETag"] != packed.headers["ETag"]


def test_an_old_or_a_missing_hash_is_asked_for_anew_and_costs_no_bytes_where_it_is_known(
    nobody: Person,
) -> None:
    for address in ("/static/css/app.css", "/static/css/app.css?v=0123456789ab"):
        answer = nobody.client.get(address, headers=PACKED)
        assert "immutable" not in answer.headers.get("Cache-Control", "")
        again = nobody.client.get(address, headers={**PACKED, "If-None-Match": answer.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")


def test_a_part_of_a_file_is_a_part_of_the_plain_one(nobody: Person) -> None:
    answer = nobody.client.get("/static/css/app.css", headers={**PACKED, "Range": "bytes=0-9"})
    assert (answer.status_code, answer.data) == (206, (ROOT / "static/css/app.css").read_bytes()[:10])


@pytest.mark.parametrize("name", ["no.css", "../app.py", "css", "css/%00", "css/..%2f..%2fapp.py"])
def test_what_is_no_static_file_is_not_found(nobody: Person, name: str) -> None:
    assert nobody.client.get(f"/static/{name}", headers=PACKED).status_code == 404


def test_pages_are_not_compressed(nobody: Person) -> None:
    assert "Content-Encoding" not in nobody.client.get("/login", headers=PACKED).headers
