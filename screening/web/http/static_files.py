"""Static files: each address carries the file's hash, so a browser keeps it for ever and never has an old one.

Text is sent compressed. Pages are not: they hold tokens beside what a visitor can choose, and their length would
tell of them (the attack known as BREACH).
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flask import Flask, Response, request, send_from_directory
from werkzeug.security import safe_join

VERSION = "v"
DIGITS = 12
YEAR = 365 * 86_400
FOR_EVER = f"public, max-age={YEAR}, immutable"
# Each folder below it is named by its version, so its files never change and need no hash in their names.
VENDORED = "vendor/"
TEXT = frozenset({".css", ".js", ".svg", ".json", ".txt", ".md"})
LEAST_BYTES = 1024


@dataclass(frozen=True, slots=True)
class _File:
    digest: str
    packed: bytes | None


def init_app(app: Flask) -> None:
    """Serve the files of the app's static folder, and put their hashes into the addresses that templates make."""
    folder = Path(str(app.static_folder))

    @app.url_defaults
    def add_version(endpoint: str, values: dict[str, object]) -> None:
        name = str(values.get("filename", ""))
        if endpoint == "static" and VERSION not in values and not name.startswith(VENDORED):
            found = _read(folder, name)
            if found is not None:
                values[VERSION] = found.digest

    def static(filename: str) -> Response:
        found = _read(folder, filename)
        response = send_from_directory(
            folder, filename, conditional=True, etag=True if found is None else found.digest
        )
        if found is None:
            return response
        if filename.startswith(VENDORED) or request.args.get(VERSION) == found.digest:
            response.headers["Cache-Control"] = FOR_EVER
        if found.packed is not None:
            response.vary.add("Accept-Encoding")
            if request.accept_encodings["gzip"] > 0 and not request.range:
                return compressed(found, response)
        return response

    app.view_functions["static"] = static


def compress(folder: str, filename: str) -> None:
    """Read and compress a file before somebody asks for it."""
    _read(Path(folder), filename)


def compressed(file: _File, plain: Response) -> Response:
    """Return the compressed answer in place of the plain one: its length and its tag are others."""
    packed = Response(file.packed, content_type=plain.content_type)
    for name in ("Cache-Control", "Last-Modified", "Vary"):
        if name in plain.headers:
            packed.headers[name] = plain.headers[name]
    packed.headers["Content-Encoding"] = "gzip"
    packed.set_etag(f"{file.digest}-gzip")
    plain.close()
    packed.make_conditional(request)
    return packed


def _read(folder: Path, filename: str) -> _File | None:
    path = safe_join(str(folder), filename)
    try:
        changed = Path(path).stat().st_mtime_ns if path is not None else None
    except (OSError, ValueError):
        return None
    return None if path is None or changed is None else known_file(path, changed)


@cache
def known_file(path: str, _changed: int) -> _File | None:
    """Return a file by its path and the time of its last change, read once."""
    file = Path(path)
    if not file.is_file():
        return None
    content = file.read_bytes()
    packed = None
    if file.suffix in TEXT and len(content) >= LEAST_BYTES:
        packed = gzip.compress(content, compresslevel=9, mtime=0)
    return _File(hashlib.sha256(content).hexdigest()[:DIGITS], packed)
