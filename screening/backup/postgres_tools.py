"""PostgreSQL's own programs for dumps, told where the database is without a password on their command line."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL

from screening.errors import NotReady

DEBIAN = Path("/usr/lib/postgresql")
MOST_SAID = 500


def dump(url: URL, file: Path, snapshot: str) -> None:
    """Write a database into a new file, as a snapshot that a transaction has exported sees it.

    Raises:
        NotReady: the program is missing, or it can't.
    """
    file.touch(mode=0o600)
    _run("pg_dump", url, [f"--snapshot={snapshot}", "--format=custom", f"--file={file}", *_NOBODY])


def restore(url: URL, file: Path) -> None:
    """Make the tables of a dump in a database that has none of them: all of it or nothing.

    Raises:
        NotReady: the program is missing, or it can't; the database is as before.
    """
    _run("pg_restore", url, ["--single-transaction", "--exit-on-error", *_NOBODY, str(file)])


# Tables are those of whoever restores them: roles have other names elsewhere.
_NOBODY = ("--no-owner", "--no-privileges")


def require(program: str) -> Path:
    """Return where a program is: on the path, or the newest that Debian has.

    Raises:
        NotReady: it isn't there.
    """
    found = shutil.which(program)
    if found is not None:
        return Path(found)
    there = [each for each in DEBIAN.glob(f"*/bin/{program}") if each.parts[-3].isdigit()]
    if not there:
        raise NotReady(
            f"PostgreSQL's {program} isn't here.",
            remedy="Install it, of the server's version or a newer one (Debian: apt-get install postgresql-client).",
        )
    return max(there, key=lambda each: int(each.parts[-3]))


def _run(program: str, url: URL, arguments: Sequence[str]) -> None:
    given = url.translate_connect_args(username="user", database="dbname")
    given |= {name: str(value) for name, value in url.query.items()}
    password = given.pop("password", None)
    address = make_conninfo("", **given)
    environ = {**os.environ, **({} if password is None else {"PGPASSWORD": str(password)})}
    command = [str(require(program)), f"--dbname={address}", "--no-password", *arguments]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)  # noqa: S603 -- arguments of the app's own
    if done.returncode != 0:
        raise NotReady(
            f"{program} ended with status {done.returncode}: {_said(done.stderr)}",
            remedy="Its version must be the server's or a newer one, and the user of DATABASE_URL must own the tables. "
            "Then run the same command again.",
        )


def _said(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines)[:MOST_SAID] or "it said nothing"
