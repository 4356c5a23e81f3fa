"""The door of a web process: takes requests from the server's event loop to the app's threads, and answers back.

A thread is taken when there is something to compute, never to wait for the network: small bodies are whole before
the app is called, and an answer in pieces is made piece by piece as its reader takes them. What waits is a coroutine
of some kilobytes. Large bodies are the exception (a file is screened while it arrives): they have threads of their
own, no more of them than :mod:`screening.web.http.admission` lets in, and must come at a least rate.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import unquote_to_bytes

from screening.errors import ScreeningError
from screening.infra import log_context
from screening.web.http.admission import ADMITTED, MOST_BODIES, TICKET
from screening.web.http.arriving import ArrivingBody, BodyStream, Message, Receive, too_slow
from screening.web.http.headers import REQUEST_ID, request_id
from screening.web.http.patience import Patience

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

log = logging.getLogger("screening.web")
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Headers: TypeAlias = list[tuple[bytes, bytes]]
Environ: TypeAlias = dict[str, Any]
"""A request's line and headers, as WSGI calls them."""
Reply: TypeAlias = tuple[int, Headers, bytes]
"""Status, headers and the whole body."""

ROUTE = "screening.route"
"""In the environ, from the app: the rule of the address, as ``/results/<screening_id>``."""
UNKNOWN = "unknown"
"""The route of all addresses that are none."""
# Called for each answer with its route, its status, and the seconds from the complete request (a small body
# included) to the answer. The time that a reader takes isn't ours, so it isn't counted.
Observe: TypeAlias = Callable[[str, int, float], None]
REFUSED = "screening.refused"
"""In the environ of a request that the front refuses: the error that the app answers with."""
PAGE_THREADS = 16
# Threads for requests that are neither admitted nor refused yet, which takes computing.
STARTING = 4
BODY_THREADS = MOST_BODIES + STARTING
HEALTH_THREADS = 1
# Python's switch interval of 5 ms lets forty busy threads keep `/healthz` waiting for half a second.
SWITCH_SECONDS = 0.001
HEALTH = "/healthz"
# Per kind of thread. Beyond it a request is told at once that the server is busy.
MOST_QUEUED = 512
# Small bodies are read whole before a thread is taken, so a slow sender blocks no thread.
SMALL_BYTES = 64 * 1024
SMALL_SECONDS = 20.0
"""So long it may take."""
MOST_WAITING = 2048
MOST_WAITING_OF_ADDRESS = 512
"""Small bodies that are waited for."""
# Longer header names aren't cached: clients choose them, and must not fill the memory.
LONG_NAME = 64
# Without a bound, a reader that takes nothing of its answer would keep it open for ever.
READ_SECONDS = 60.0
BUSY = b"The server is busy. Try again in a few seconds.\n"


class Shortcut(Protocol):
    """A way that goes past the app for some requests, all of one route."""

    route: str

    def submit(self, environ: Environ, body: bytes) -> asyncio.Future[Reply] | None:
        """Take a request whose body is whole, or ``None`` if it is for the app. Called in the event loop.

        Raises:
            asyncio.QueueFull: too many wait.
        """


class _Pool:
    """Threads of one kind, and how many calls there are for them."""

    def __init__(self, name: str, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._most = threads + MOST_QUEUED
        self._calls = 0

    @property
    def full(self) -> bool:
        return self._calls >= self._most

    async def run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    @contextmanager
    def counted(self) -> Iterator[None]:
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1


class _Answer:
    """Response of the app: status, headers, and the body piece by piece."""

    def __init__(self, app: WSGIApplication, environ: WSGIEnvironment) -> None:
        self.status, self.headers = 500, []  # type: int, Headers
        self.request_id: str = environ[REQUEST_ID]
        # of the log: later pieces are made by other threads
        self._context = copy_context()
        self._context.run(self._begin, app, environ)
        self.is_whole = (b"content-length", str(len(self.first)).encode()) in self.headers
        """Whether the first piece is all, as it is of a page."""
        if self.is_whole:
            self.close()

    def _begin(self, app: WSGIApplication, environ: WSGIEnvironment) -> None:
        log_context.add(request_id=environ[REQUEST_ID])
        self._body = app(environ, self._start)
        self._pieces: Iterator[bytes] = iter(self._body)
        # an app may call start_response as late as this
        self.first = next(self._pieces, b"")

    def _start(
        self, status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
    ) -> Callable[[bytes], object]:
        if exc_info is not None and exc_info[1] is not None and self.headers:
            raise exc_info[1].with_traceback(exc_info[2])
        self.status = int(status[:3])
        self.headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        return self._write

    def _write(self, _: bytes) -> object:
        raise RuntimeError("the app returns its body, it doesn't write it")

    def next(self) -> bytes | None:
        return self._context.run(next, self._pieces, None)

    def close(self) -> None:
        close: Callable[[], None] | None = getattr(self._body, "close", None)
        if close is not None:
            self._context.run(close)


class Front:
    """The app as the server calls it (ASGI 3).

    Args:
        app: the whole app, with its middleware.
        address_of: whose request it is, proxies looked through.
        shortcut: answers some requests in the app's place.
        observe: told of each answer, in the event loop.
    """

    def __init__(
        self,
        app: WSGIApplication,
        address_of: Callable[[WSGIEnvironment], str],
        shortcut: Shortcut | None = None,
        observe: Observe = lambda _route, _status, _seconds: None,
    ) -> None:
        sys.setswitchinterval(SWITCH_SECONDS)
        self._app = app
        self._address_of = address_of
        self._shortcut = shortcut
        self._observe = observe
        self._pages = _Pool("page", PAGE_THREADS)
        self._bodies = _Pool("body", BODY_THREADS)
        self._health = _Pool("health", HEALTH_THREADS)
        self._starting = asyncio.Semaphore(STARTING)
        self._waiting: Counter[str] = Counter()
        self._patience = Patience()
        self._basis = {
            "SCRIPT_NAME": "",
            "wsgi.version": (1, 0),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            # werkzeug's word for: read to its end, announced or not
            "wsgi.input_terminated": True,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        arriving = ArrivingBody(receive)
        try:
            await self._answer(scope, arriving, send)
        finally:
            arriving.release()

    async def _answer(self, scope: Message, arriving: ArrivingBody, send: Send) -> None:
        environ = {**self._basis, **environ_of(scope)}
        environ[REQUEST_ID] = request_id(environ.get("HTTP_X_REQUEST_ID"))
        pool = await self._prepare(environ, arriving)
        began = perf_counter()
        if pool is self._pages and REFUSED not in environ and await self._by_shortcut(environ, send, began):
            return
        if pool is None or pool.full:
            self._observe(UNKNOWN, 503, perf_counter() - began)
            await _send_busy(send, environ)
            # too many small bodies that don't come are a flood, whose lines are cut as they are
            if pool is not None and not arriving.whole:
                await arriving.discard()
            return
        run = self._run_body if pool is self._bodies else pool.run
        with pool.counted():
            answer: _Answer = await run(_Answer, self._app, environ)
        self._observe(environ.get(ROUTE, UNKNOWN), answer.status, perf_counter() - began)
        try:
            incoming = environ["wsgi.input"]
            if isinstance(incoming, BodyStream):
                # the app has answered: what still comes of the body has no reader any more
                await incoming.stop()
            await self._send(answer, send, closing=not arriving.whole)
            if not arriving.whole:
                # closed with bytes unread, the line would be reset and the answer lost
                await arriving.discard()
        finally:
            if not answer.is_whole:
                # the app's code runs in threads, never in the event loop
                await self._pages.run(answer.close)

    async def _by_shortcut(self, environ: Environ, send: Send, began: float) -> bool:
        """Answer a request past the app, if it is one of those; also while pages keep all threads busy."""
        if self._shortcut is None:
            return False
        try:
            taken = self._shortcut.submit(environ, environ["wsgi.input"].getvalue())
        except asyncio.QueueFull:
            self._observe(self._shortcut.route, 503, perf_counter() - began)
            await _send_busy(send, environ)
            return True
        if taken is None:
            return False
        status, headers, body = await taken
        self._observe(self._shortcut.route, status, perf_counter() - began)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return True

    async def _run_body(
        self, call: Callable[..., Any], app: WSGIApplication, environ: WSGIEnvironment
    ) -> Any:
        """Run a call that may wait for its body. Of a hundred uploads at once only some at a time are told whether they
        may send: otherwise all threads would compute, and nothing else would get on.
        """
        loop, starting = asyncio.get_running_loop(), self._starting
        await starting.acquire()
        # emptied by whoever comes first, here on the loop
        places = [starting]

        def leave() -> None:
            if places:
                places.pop().release()

        environ[ADMITTED] = lambda: loop.call_soon_threadsafe(leave)
        try:
            return await self._bodies.run(call, app, environ)
        finally:
            leave()

    async def _prepare(self, environ: WSGIEnvironment, arriving: ArrivingBody) -> _Pool | None:
        """Get the body ready, and say which threads the request is for; ``None`` if too many wait."""
        length = environ.get("CONTENT_LENGTH")
        environ["wsgi.input"] = io.BytesIO()
        if length is None and "HTTP_TRANSFER_ENCODING" not in environ:
            arriving.whole = True
            if environ["PATH_INFO"] != HEALTH:
                return self._pages
            # it is asked by nobody, so that no database keeps it waiting
            environ.pop("HTTP_COOKIE", None)
            return self._health
        begun = b""
        if length is None or int(length) <= SMALL_BYTES:
            address = self._address_of(environ)
            if self._waiting.total() >= MOST_WAITING or self._waiting[address] >= MOST_WAITING_OF_ADDRESS:
                return None
            begun = await self._small(environ, arriving, address)
        if REFUSED in environ:
            return self._pages
        if arriving.whole:
            environ["wsgi.input"] = io.BytesIO(begun)
            is_form = environ.get("CONTENT_TYPE", "").lower().startswith("multipart/")
            # an upload waits for its screening
            return self._bodies if is_form else self._pages

        def admit() -> None:
            environ[TICKET].admit()  # it is lent further in

        environ["wsgi.input"] = BodyStream(arriving, begun, asyncio.get_running_loop(), admit)
        return self._bodies

    async def _small(self, environ: WSGIEnvironment, arriving: ArrivingBody, address: str) -> bytes:
        """Read all of a small body, or the beginning of one that turns out to be large."""
        self._waiting[address] += 1
        try:
            begun = await self._patience.at_most(arriving.at_most(SMALL_BYTES), SMALL_SECONDS)
        except TimeoutError:
            environ[REFUSED] = too_slow()
            return b""
        finally:
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]
        # or can't be parsed; who is still there learns it
        if arriving.gone:
            environ[REFUSED] = BadBody("The request's body is damaged or cut off.", remedy="Send it again.")
        return begun

    async def _send(self, answer: _Answer, send: Send, *, closing: bool) -> None:
        """Send it. An error in the middle of the body gets out of here: the server then cuts the line without the end
        that a whole body has.
        """
        headers = answer.headers
        if closing:
            # the line can't be used again: the rest of the body is still on it
            headers = [*headers, (b"connection", b"close")]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        piece: bytes | None = answer.first
        while piece is not None and not answer.is_whole:
            if piece:
                async with asyncio.timeout(READ_SECONDS):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            piece = await self._next(answer)
        await send({"type": "http.response.body", "body": piece or b""})

    async def _next(self, answer: _Answer) -> bytes | None:
        try:
            piece: bytes | None = await self._pages.run(answer.next)
        except Exception:
            with log_context.bound(request_id=answer.request_id):
                log.exception("an answer was cut off in the middle of its body")
            raise
        return piece


class BadBody(ScreeningError):
    """The body isn't what its header says."""


async def _send_busy(send: Send, environ: Environ) -> None:
    headers = [
        (b"x-request-id", environ[REQUEST_ID].encode()),
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(BUSY)).encode()),
        (b"retry-after", b"5"),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": BUSY})


def environ_of(scope: Message) -> dict[str, Any]:
    """Return the request line, headers and ends of the line, as WSGI calls them (PEP 3333)."""
    server, client = scope.get("server") or ("", ""), scope.get("client") or ("", "")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "PATH_INFO": unquote_to_bytes(scope["raw_path"]).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1]),
        "REMOTE_ADDR": str(client[0]),
        "wsgi.url_scheme": scope["scheme"],
    }
    for raw_name, raw_value in scope["headers"]:
        name = header_name(raw_name) if len(raw_name) <= LONG_NAME else header_name.__wrapped__(raw_name)
        if name is None:
            continue
        value = raw_value.decode("latin-1")
        # sent more than once: all its values, as RFC 9110 (5.3) joins them
        if name in environ:
            value = f"{environ[name]}{'; ' if name == 'HTTP_COOKIE' else ','}{value}"
        environ[name] = value
    return environ


@lru_cache(maxsize=256)
def header_name(header: bytes) -> str | None:
    """Return the WSGI name of a header; ``None`` for a name with an underscore: it would be taken for the one with a
    hyphen.
    """
    if b"_" in header:
        return None
    name = header.decode("latin-1").upper().replace("-", "_")
    return name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
