"""The upload page: a file in, a screening out."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any, cast, get_args

from flask import Blueprint, redirect, render_template, request, url_for
from msgspec import convert

from screening.cards.masking import masked
from screening.errors import (
    BadFile,
    Conflict,
    NotFound,
    ScreeningError,
    StorageFull,
    TooLarge,
    UnsupportedKind,
)
from screening.infra.disk_space import require_room
from screening.intake import identify
from screening.uploads import deletion
from screening.uploads.screenings import CHECKED, DONE, FAILED, OPEN_STATES, UploadRequest, new_id
from screening.uploads.upload_folder import UploadFolder
from screening.web.http import errors, guard, request_audit
from screening.web.http.admission import AllBusy, TooBusy
from screening.web.http.operations import (
    FORM,
    URL_FORM,
    AnswerSpec,
    BodySpec,
    HeaderSpec,
    Operation,
    answered,
    describes,
)
from screening.web.http.sessions import may, require, user
from screening.web.http.upload_stream import (
    FileCallbacks,
    FormFields,
    PlainBody,
    first_bytes,
    plain_name,
    store,
)
from screening.web.http.upload_stream import MultipartBody as FormBody
from screening.web.services import services
from screening.web.views.detectors.access import ask_for, sample_of, samples, usable
from screening.web.views.files.forms import LOCATION, Flag, Screened, Sent, Wishes
from screening.web.views.files.waiting import page_for

blueprint = Blueprint("uploads", __name__)

HEAD_BYTES = 4096  # enough to know a file's kind
# what the form adds around the file
FORM_BYTES = 64 * 1024
WAIT_SECONDS = 60.0
# Look at the database so often even if no job has ended: a worker that died rings no bell.
LOOK_SECONDS = 1.0
PREFER = HeaderSpec(
    words=f"`wait=N`: for how many seconds the answer may wait, at most {WAIT_SECONDS:.0f}.",
    schema={"type": "string"},
    example="wait=10",
)
FOLLOW = {
    words: {"operationId": name, "parameters": {"screening_id": "$response.body#/id"}}
    for words, name in (
        ("how far it is", "getScreening"),
        ("its scores", "getScores"),
        ("its flagged rows", "getFlagged"),
        ("its unreadable rows", "getRejected"),
        ("its workbook", "getWorkbook"),
        ("its check", "getCheck"),
        ("have it scored", "screenChecked"),
    )
}


@blueprint.get("/upload")
@require("screen")
def upload() -> str:
    """Show the form."""
    return _page()


@blueprint.post("/upload")
@require("screen", scope="score")
@guard.streams
@describes(
    Operation(
        id="screenFile",
        tag="Files",
        headers={"Prefer": PREFER},
        body=BodySpec(
            words="A form: the file last, and what shall be done with it before.",
            media=FORM,
            form=Sent,
            parts={"file": "text/csv"},
        ),
        answers={
            201: AnswerSpec(
                words="Screened, or checked.", form=Screened, headers={"Location": LOCATION}, links=FOLLOW
            ),
            202: AnswerSpec(
                words="It still runs.", form=Screened, headers={"Location": LOCATION}, links=FOLLOW
            ),
        },
        raises=(BadFile, NotFound, Conflict, TooLarge, UnsupportedKind, TooBusy, AllBusy, StorageFull),
    )
)
def receive() -> Any:
    """Screen a file.

    The answer comes once it is screened, or after a while with its address while it still runs. A program that has a
    session instead of a key sends `Accept: application/json`.
    """
    try:
        screening_id, wishes = receive_file(_body())
        state = wait_for(screening_id, _patience())
        if state is None:
            raise deleted()
        if state == FAILED:
            refuse(screening_id, may_map=wishes.may_map == "1")
    except TooBusy:
        raise
    except ScreeningError as problem:
        return _refused(problem.as_dict())
    page = "check.show" if wishes.check == "1" else "results.show"
    location = url_for(page, screening_id=screening_id)
    if not errors.wants_json():
        if wishes.back == "dashboard":
            location = url_for("dashboard.index", _anchor="result-title")
        return redirect(location, HTTPStatus.SEE_OTHER)
    status = HTTPStatus.CREATED if state in (DONE, CHECKED) else HTTPStatus.ACCEPTED
    return answered(Screened(screening_id, location, cast("Any", state)), status, Location=location)


def _body() -> FormBody | PlainBody:
    if request.mimetype == URL_FORM:
        return PlainBody(request, FORM_BYTES)
    return FormBody(request, services().settings.max_upload + FORM_BYTES, user().username)


def receive_file(body: FormBody | PlainBody) -> tuple[str, Wishes]:
    """Keep the file, or the sample that is asked for; gives its id and what shall be done with it."""
    form = body.fields()
    guard.check_csrf(form.fields.get("csrf_token") or request.headers.get("X-CSRFToken"))
    wishes = read_wishes(form)
    if wishes.sample:
        filename, content = chosen_sample(wishes, form)
    elif form.filename:
        filename, content = plain_name(form.filename), body.content()
    else:
        raise BadFile("No file was chosen.", remedy="Choose a file, then send it.")
    head = first_bytes(content, HEAD_BYTES)
    wish = _wish(wishes, filename, identify(filename, head))
    require_room(services().settings.instance, request.content_length or 0)
    owner = user().username
    services().quota.require(owner, request.content_length or 0)
    screening_id = new_id()
    folder = UploadFolder(services().settings.instance, screening_id)
    folder.create()
    services().screenings.begin(screening_id, wish)
    try:
        with folder.arriving_object() as arriving:
            alive = FileCallbacks(
                lambda: services().screenings.touch(screening_id),
                lambda: services().quota.require(owner),
                arriving.grown,
            )
            size, sha256 = store(head, content, folder, alive)
            body.finish()
            folder.keep_upload(arriving.finish(size, sha256, alive.alive))
        _accept(screening_id, folder, size, sha256)
    except BaseException as problem:  # the sender left, sent too much, or the disk is full: nothing may stay
        gone = services().screenings.state(screening_id) is None
        deletion.delete(services().screenings, services().settings.instance, screening_id)
        # deleted while it arrived, and its folder with it
        if gone and isinstance(problem, OSError):
            raise deleted() from None
        raise
    request_audit.record(
        "upload",
        screening=screening_id,
        filename=filename,
        size=size,
        sha256=sha256,
        check_first=wish.check_first,
    )
    return screening_id, wishes


def chosen_sample(wishes: Wishes, form: FormFields) -> tuple[str, Iterator[bytes]]:
    """Return the name and the content of the sample that is asked for.

    Raises:
        Conflict: a file came with it.
        NotFound: there is no such detector, or it has no sample.
    """
    if form.filename:
        raise Conflict("A file and a sample were sent.", where="field sample", remedy="Send one of them.")
    file = sample_of(wishes.sample) if wishes.sample in services().detectors.names() else None
    if file is None:
        raise NotFound(
            "There is no sample of this name.", remedy=f"There are samples for {', '.join(samples())}."
        )
    return f"{wishes.sample}-sample.csv", iter([file.read_bytes()])


def _accept(screening_id: str, folder: UploadFolder, size: int, sha256: str) -> None:
    """Have the file where no loss of a machine can reach it, as far as the operator has such a place, and say so."""
    elsewhere = services().settings.several
    if elsewhere:
        # a worker on another host reads it as soon as the row says so, and this host may be gone by then
        folder.complete()
        folder.keep()
    if not services().screenings.received(screening_id, size, sha256):
        raise deleted()
    if not elsewhere:
        folder.complete()


def deleted() -> NotFound:
    """Return the error of a screening that was deleted while its file arrived."""
    return NotFound(
        "The screening was deleted before it was done.", remedy="Send the file again if you need it."
    )


def read_wishes(form: FormFields) -> Wishes:
    """Read what shall be done with the file.

    Raises:
        BadFile: a field is unknown or has a value that means nothing: the file would be treated in another way than
            its sender thinks.
    """
    for name, said in form.fields.items():
        if name not in Wishes.__struct_fields__:
            shown = masked(name)[:40]
            raise BadFile(
                f"The form has a field “{shown}”, which means nothing here.",
                where=f"field {shown}",
                remedy=f"These may come before the file: {', '.join(Wishes.__struct_fields__)}.",
            )
        if name in FLAGS and said not in FLAG_VALUES:
            raise BadFile(
                f"The field “{name}” is neither 1 nor 0.",
                where=f"field {name}",
                remedy="Send 1, or leave it out.",
            )
    if form.fields.get("back", "") not in PLACES:
        raise BadFile(
            "The field “back” names no page that one comes back to.",
            where="field back",
            remedy="Send dashboard, or leave it out.",
        )
    return convert(form.fields, Wishes)


FLAG_VALUES = get_args(Flag)
PLACES = ("", "dashboard")
FLAGS = frozenset({"set_aside", "check", "tokenize", "may_map"})


def _wish(wishes: Wishes, filename: str, kind: str) -> UploadRequest:
    wanted = wishes.detector or wishes.sample or None
    if wanted is not None:
        # an unknown name is refused before the file is kept
        ask_for(wanted)
    return UploadRequest(
        owner=user().username,
        filename=filename,
        kind=kind,
        detector=wanted,
        set_aside_bad=wishes.set_aside == "1",
        check_first=wishes.check == "1",
        tokenize=wishes.tokenize == "1",
        threshold=services().settings.threshold,
        counts_for_all=may("decide"),
    )


def wait_for(screening_id: str, seconds: float) -> str | None:
    """Wait until the screening has ended, at most so long; return its state."""
    ends = services().signals.ended.listen()
    deadline = time.monotonic() + seconds
    while (state := services().screenings.state(screening_id)) in OPEN_STATES:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        ends.wait(min(left, LOOK_SECONDS))
    return state


def _patience() -> float:
    wanted = re.search(r"(?:^|[,;\s])wait=([0-9]{1,3})\b", request.headers.get("Prefer", ""))
    return min(float(wanted[1]), WAIT_SECONDS) if wanted else WAIT_SECONDS


def refuse(screening_id: str, *, may_map: bool) -> None:
    """Refuse a file. One that is refused at once leaves nothing behind; one that failed through our fault stays in the
    list, and so does one of which its sender can say how it can be screened. Card numbers in it were replaced by then.

    Raises:
        Refused: always; it is what the worker found.
    """
    screening = services().screenings.get(screening_id)
    found = (screening and screening.error) or {}
    page = page_for(found)
    if screening and may_map and page:
        found = {**found, "mapping": url_for(page, screening_id=screening.id)}
    if not found.get("mapping") and found.get("status", 500) < HTTPStatus.INTERNAL_SERVER_ERROR:
        deletion.delete(services().screenings, services().settings.instance, screening_id)
    raise ScreeningRefused(found)


class ScreeningRefused(ScreeningError):
    """Error that the worker found, as it was kept."""

    def __init__(self, found: dict[str, Any]) -> None:
        super().__init__(found.get("what", "The screening failed."), found.get("where"), found.get("remedy"))
        self._found = found

    def as_dict(self) -> dict[str, Any]:
        return {**super().as_dict(), **self._found}


def _refused(problem: dict[str, Any]) -> Any:
    request_audit.record("upload_refused", status=problem["status"], reason=problem["what"])
    if errors.wants_json():
        return errors.answer(problem)
    return _page(problem), problem["status"]


def _page(error: dict[str, Any] | None = None) -> str:
    mine = services()
    return render_template(
        "upload.html",
        error=error,
        detectors=usable(),
        history_policy=mine.settings.history_policy,
        max_upload_mb=mine.settings.max_upload // 2**20,
        threshold=mine.settings.threshold,
    )
