"""Lets an instance and its bucket know each other, as a process of its own: the server forks, and the library doesn't.

``python -m screening.bucket.claiming`` is given the address and the id of the instance.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from screening.bucket.bucket import Bucket
from screening.bucket.faults import BucketUnavailable
from screening.errors import BadSetting
from screening.infra.atomic_file import replace_file
from screening.settings import ROOT

KEY, PROBE = "instance_id", "probe"
NOTE = "storage_url"
"""A file of the instance: the bucket that has its finished files."""
SECONDS = 60.0
FREE, TAKEN, UNUSABLE = 0, 3, 4


def claim(folder: Path, url: str | None, instance: str) -> None:
    """See that the files of an instance are where they were, and that a bucket which is set can be used for them.

    Args:
        folder: of the instance, where the bucket is noted.
        url: as :class:`screening.bucket.bucket.Bucket` takes it; ``None`` where none is set.
        instance: the id.

    Raises:
        BadSetting: the files are in another bucket, the bucket has those of another instance, or it can't be used.
    """
    note = folder / NOTE
    known = note.read_text("ascii").strip() if note.exists() else None
    if known is not None and known != url:
        raise BadSetting(
            f"The finished files of this instance are in {known}, and STORAGE_URL "
            + ("isn't set." if url is None else f"is {url}."),
            where=str(note),
            remedy="Set STORAGE_URL to it. To move them, copy all objects there while no server runs, and then delete "
            "that note.",
        )
    if url is None:
        return
    told, code = asked(url, instance)
    if code == TAKEN:
        raise BadSetting(
            f"STORAGE_URL is {url}, which has the files of another instance.",
            where=f"instance {instance}, bucket of {told}",
            remedy="Set STORAGE_URL to another prefix, or DATABASE_URL and INSTANCE_PATH to those of that instance. "
            "Nothing was changed.",
        )
    if code != FREE:
        raise BadSetting(
            f"STORAGE_URL is {url}, and the bucket can't be used: {told}.",
            remedy="See that it is there, that AWS_ENDPOINT_URL and AWS_REGION lead to it, and that the credentials "
            "may list, get, put and delete.",
        )
    if known is None:
        note.touch(mode=0o600)
        replace_file(note, f"{url}\n".encode("ascii"))


def asked(url: str, instance: str) -> tuple[str, int]:
    """Run :func:`main` in a process of its own; return its words and its exit status."""
    command = [sys.executable, "-m", "screening.bucket.claiming", url, instance]
    try:
        done = subprocess.run(  # noqa: S603 -- our own module
            command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it didn't answer within {SECONDS:g} seconds", UNUSABLE
    return done.stdout.strip() or done.stderr.strip().rpartition("\n")[2], done.returncode


def main(url: str, instance: str) -> int:
    """Claim a bucket; print whose it is, or what is wrong, and return the exit status."""
    bucket = Bucket(url)
    try:
        owner = bucket.create(KEY, instance.encode("ascii")).decode("ascii", "replace")
        bucket.sizes(KEY)
        if owner == instance:
            # what can't be deleted is found now, not when card numbers stay
            bucket.write(PROBE, b"")
            bucket.delete([PROBE])
    except BucketUnavailable as problem:
        sys.stdout.write(f"{problem.why} ({str(problem.where).partition(', ')[2]})\n")
        return UNUSABLE
    sys.stdout.write(f"{owner}\n")
    return FREE if owner == instance else TAKEN


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
