"""The short way of ``POST /detect_fraud``: a program with an API key is answered without Flask.

What the request's line and headers leave open (another method, a query, a host that isn't ours, a session) goes
through Flask, which answers it; what is taken here gets the answer that it would get there, but for its numbers and
times. Requests that wait at a time are decided together, in one thread: they share what it costs to wake it, the call
of the net and the commit of the ledger.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from screening.accounts.key_refusals import Refusal
from screening.accounts.key_ring import bearer
from screening.infra import log_context
from screening.infra.audit.log import KEY_PREFIX
from screening.web.api import deciding
from screening.web.http import failures, headers, problems
from screening.web.http.front import Environ, Reply
from screening.web.http.guard import is_ours
from screening.web.services import Services

log = logging.getLogger("screening.web")
PATH = "/detect_fraud"
SCOPE = "score"
JSON = "application/json"
MOST_TOGETHER = 64
"""Requests that are decided together."""
# Bytes of the bodies that are decided together: a long list must not hold up the single transactions behind
# it.
MOST_BYTES = 64 * 1024
# After a shared decision, wait so long at most for as many requests to come back: clients mostly ask again at
# once, and most of a request's cost is paid once for all of them. A request that comes alone doesn't wait.
COMPANY_SECONDS = 0.002
# Requests that wait in one lane; beyond it a request is told that the server is busy.
MOST_QUEUED = 512
NAMED = b'"detector"'
NO_MORE: Mapping[str, str] = {}


class LeanPath:
    """Answers requests of programs.

    There are two lanes, each with a thread: one for requests that name a detector, which may have to be loaded first,
    or its past be read, and one for all others, which wait for nothing of the kind.

    Args:
        mine: what requests are answered with.
        look_through: puts the client's address, scheme and host into an environ, proxies looked through.
        on_damage: called with what the database says of its own damage.
    """

    route = PATH

    def __init__(
        self,
        mine: Services,
        look_through: Callable[[Environ], None],
        on_damage: Callable[[str], object],
    ) -> None:
        self._mine = mine
        self._look_through = look_through
        self._on_damage = on_damage
        self._decider = deciding.Decider(mine)
        self._usual, self._named = _Lane("decide", self._answer), _Lane("decide-named", self._answer)

    def submit(self, environ: Environ, body: bytes) -> asyncio.Future[Reply] | None:
        """Take a request whose body is whole, or ``None`` if it is for Flask. Called in the event loop.

        Raises:
            asyncio.QueueFull: too many wait.
        """
        if environ["PATH_INFO"] != PATH or environ["REQUEST_METHOD"] != "POST" or environ["QUERY_STRING"]:
            return None
        authorization = environ.get("HTTP_AUTHORIZATION")
        if not (bearer(authorization) or "").startswith(KEY_PREFIX):
            return None
        # as it came, it may still be for Flask
        environ = dict(environ)
        self._look_through(environ)
        if not is_ours(environ.get("HTTP_HOST", ""), self._mine.settings.trusted_hosts):
            return None
        request = _Request(
            body,
            authorization,
            environ.get("HTTP_IDEMPOTENCY_KEY"),
            environ["REMOTE_ADDR"],
            environ["wsgi.url_scheme"] == "https",
            environ[headers.REQUEST_ID],
        )
        lane = self._named if NAMED in body else self._usual
        return lane.submit(request)

    def _answer(self, requests: list[_Request]) -> list[Reply]:
        """Answer some requests. Runs in a thread."""
        replies: list[Reply | None] = [None] * len(requests)
        let_in: dict[int, deciding.ScoringRequest] = {}
        of_key: dict[str | None, list[int]] = {}
        for place, request in enumerate(requests):
            of_key.setdefault(request.authorization, []).append(place)
        for authorization, places in of_key.items():
            with log_context.bound(**numbers_of([requests[place].number for place in places])):
                addresses = [requests[place].address for place in places]
                checked = self._mine.key_ring.check_all(authorization, SCOPE, addresses)
            for place, found in zip(places, checked, strict=True):
                request = requests[place]
                if isinstance(found, Refusal):
                    with log_context.bound(request_id=request.number):
                        replies[place] = self._failed(request, found)
                    continue
                let_in[place] = deciding.ScoringRequest(
                    body=request.body,
                    account=found.account,
                    key=found.key_id,
                    request=request.number,
                    idempotency_key=request.idempotency_key,
                )
        sent = list(let_in.values())
        with log_context.bound(**log_fields(sent)):
            answers = self._decider.answer(sent)
        for place, answer in zip(let_in, answers, strict=True):
            request = requests[place]
            if isinstance(answer, Exception):
                with log_context.bound(**log_fields([let_in[place]])):
                    replies[place] = self._failed(request, answer)
            else:
                more = headers.of_program(JSON, answer, request.number, NO_MORE, https=request.https)
                replies[place] = 200, more, answer
        return [reply for reply in replies if reply is not None]

    def _failed(self, request: _Request, error: Exception) -> Reply:
        number = request.number
        failure = failures.told(
            error, request_id=number, instance=self._mine.settings.instance, on_damage=self._on_damage
        )
        body = problems.encoded(failure.problem, path=PATH, request_id=number)
        more = headers.of_program(problems.MIMETYPE, body, number, failure.headers, https=request.https)
        return failure.status, more, body


def log_fields(sent: Sequence[deciding.ScoringRequest]) -> dict[str, log_context.Value]:
    """Return what the log says of requests that are decided together: of one who sent it, of several their numbers."""
    found = numbers_of([str(each.request) for each in sent])
    return found if len(sent) != 1 else {**found, "user": sent[0].account.username, "key": str(sent[0].key)}


def numbers_of(numbers: list[str]) -> dict[str, log_context.Value]:
    """Return the ids of requests as fields of a log line."""
    return {"request_id": numbers[0]} if len(numbers) == 1 else {"request_ids": numbers}


@dataclass(slots=True)
class _Request:
    """Data of a request whose way is clear."""

    body: bytes
    authorization: str | None
    idempotency_key: str | None
    address: str
    https: bool
    number: str
    """``X-Request-ID``."""


class _Lane:
    """A thread that answers all requests that wait, then those that came meanwhile.

    It takes what waits as it begins, and not as it is woken: until it has the interpreter the loop goes on, and more
    may come.
    """

    def __init__(self, name: str, answer: Callable[[list[_Request]], list[Reply]]) -> None:
        self._name = name
        self._answer = answer
        self._waiting: deque[tuple[_Request, asyncio.Future[Reply]]] = deque()
        self._calls: SimpleQueue[None] = SimpleQueue()
        self._wanted: float = 1
        """The thread is called when so many wait; never while it works, since it looks by itself before it rests."""
        self._thread: threading.Thread | None = None

    def submit(self, request: _Request) -> asyncio.Future[Reply]:
        """Queue a request. Called in the event loop.

        Raises:
            asyncio.QueueFull: too many wait.
        """
        if len(self._waiting) >= MOST_QUEUED:
            raise asyncio.QueueFull
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if len(self._waiting) >= self._wanted:
            self._wanted = math.inf  # one call is enough
            self._calls.put(None)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        return future

    def _run(self) -> None:
        while True:
            self._rest(1, None)
            while batch := self._take():
                try:
                    replies: list[Reply] | BaseException = self._answer([request for request, _ in batch])
                except BaseException as problem:  # else nobody would be answered any more
                    log.exception("requests of programs were not answered")
                    replies = problem
                futures = [future for _, future in batch]
                try:
                    futures[0].get_loop().call_soon_threadsafe(hand_out, futures, replies)
                except RuntimeError:  # the loop has ended, and nobody waits in it
                    log.debug("requests of programs were answered too late")
                count = len(batch)
                # they would be kept until the next ones come
                del batch, futures, replies
                if count > 1:
                    self._rest(count, COMPANY_SECONDS)

    def _rest(self, wanted: int, longest: float | None) -> None:
        """Wait until so many requests wait, or some seconds are over. A call that came too late for the last rest may
        end this one: there is nothing to do then, or something.
        """
        # set before the look: what comes after it calls
        self._wanted = wanted
        if len(self._waiting) < wanted:
            with suppress(Empty):
                self._calls.get(timeout=longest)
        self._wanted = math.inf

    def _take(self) -> list[tuple[_Request, asyncio.Future[Reply]]]:
        """Take what may be decided together: it is answered in one loop, of which a process mostly has one."""
        batch: list[tuple[_Request, asyncio.Future[Reply]]] = []
        size, loop = 0, None
        while self._waiting and len(batch) < MOST_TOGETHER and (not size or size < MOST_BYTES):
            theirs = self._waiting[0][1].get_loop()
            if loop not in (None, theirs):
                break
            batch.append(self._waiting.popleft())
            size, loop = size + len(batch[-1][0].body), theirs
        return batch


def hand_out(futures: list[asyncio.Future[Reply]], replies: list[Reply] | BaseException) -> None:
    """Hand out answers, in the event loop."""
    for place, future in enumerate(futures):
        if future.done():  # whoever waited has gone
            continue
        if isinstance(replies, BaseException):
            future.set_exception(replies)
        else:
            future.set_result(replies[place])
