"""The file of a screening, screened once more by another detector: as if its owner had sent it again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial

from screening.errors import Conflict, ScreeningError
from screening.infra.disk_space import require_room
from screening.uploads import deletion
from screening.uploads.screenings import DONE, OPEN_STATES, Screening, UploadRequest, new_id
from screening.uploads.upload_folder import UploadFolder
from screening.web.http import request_audit
from screening.web.http.sessions import may, user
from screening.web.http.upload_stream import FileCallbacks, store
from screening.web.services import services
from screening.web.views.detectors.access import ask_for

PIECE = 1 << 20


def why_not(screening: Screening) -> str:
    """Return why whoever asks can't have this file screened again; empty where they can."""
    if screening.owner != user().username.casefold():
        return f"The file is {screening.owner}'s, who can have it screened."
    if not may("screen"):
        return "Your role screens no files."
    if screening.state != DONE:
        return "The file isn't screened yet."
    folder = UploadFolder.kept(services().settings.instance, screening.id)
    if not folder.whole.exists() or not folder.input.exists():
        return "The file isn't kept any more: upload it again."
    return ""


def screen_again(screening_id: str, detector: str) -> str:
    """Have the kept file of one's own screening scored by another detector; return the new screening's id.

    Columns that were mapped, and what was said of open ones, are taken over where the detector has the same columns.

    Raises:
        NotFound: there is no such screening of this user, or no such detector.
        Conflict: the file isn't kept, or the detector is retired, or scores it just now.
        StorageFull: there is no room for a copy.
    """
    mine = services()
    kept = mine.screenings.owned(screening_id, user().username)
    contract = ask_for(detector).contract
    reason = why_not(kept)
    if reason:
        raise Conflict(reason, remedy=f"Upload the file, and choose {detector} under More options.")
    twin = mine.screenings.twin(kept, detector)
    if twin is not None and twin.state in OPEN_STATES:
        raise Conflict(f"{detector} scores this file just now.", remedy="Wait until it is done.")
    source = UploadFolder.kept(mine.settings.instance, kept.id)
    size = source.input.stat().st_size
    require_room(mine.settings.instance, size)
    mine.quota.require(kept.owner, size)
    mapping = kept.mapping if kept.mapping and set(kept.mapping) >= set(contract.columns) else None
    wish = UploadRequest(
        owner=kept.owner,
        filename=kept.filename,
        kind=kept.kind,
        detector=detector,
        set_aside_bad=kept.set_aside_bad,
        tokenize=kept.tokenize,
        threshold=mine.settings.threshold,
        counts_for_all=may("decide"),
        mapping=mapping,
        answers=kept.answers,
    )
    made = begin_copy(source, wish, kept)
    about = {"filename": kept.filename, "sha256": kept.sha256}
    request_audit.record("screened_again", screening=made, of=kept.id, detector=detector, **about)
    return made


def begin_copy(source: UploadFolder, wish: UploadRequest, kept: Screening) -> str:
    """Begin a screening of a copy of a file; nothing stays of one that can't be made."""
    mine, made = services(), new_id()
    folder = UploadFolder(mine.settings.instance, made)
    folder.create()
    # the copy has tokens in place of card numbers, too, and says in which columns
    if source.tokens.exists():
        folder.arriving.rename(folder.tokens)
        if source.replaced.exists():
            shutil.copyfile(source.replaced, folder.replaced)
    mine.screenings.begin(made, wish)
    try:
        with folder.arriving_object() as arriving:
            alive = FileCallbacks(
                partial(mine.screenings.touch, made), partial(mine.quota.require, wish.owner), arriving.grown
            )
            size, digest = store(b"", pieces_of(source), folder, alive)
            folder.keep_upload(arriving.finish(size, digest, alive.alive))
        if not mine.screenings.received(made, size, kept.sha256 or digest):
            raise Conflict("The screening was deleted before it began.", remedy="Have it screened again.")
        folder.complete()
    except (OSError, ScreeningError):
        deletion.delete(mine.screenings, mine.settings.instance, made)
        raise
    return made


def pieces_of(source: UploadFolder) -> Iterator[bytes]:
    """Yield the bytes of a kept file, a piece at a time."""
    with source.input.open("rb", buffering=0) as file:
        while piece := file.read(PIECE):
            yield piece
