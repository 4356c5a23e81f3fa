"""Admit request bodies: so many at once in all, from one address, and of one account.

A body that arrives in pieces keeps a thread until it is whole, and an upload keeps it until its answer. The threads
are bounded, so whoever could take them all could keep everybody else out.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from screening.errors import ScreeningError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

TICKET = "screening.ticket"
ADMITTED = "screening.admitted"
"""In the environ: what is called once a request has its place."""
# Per web process. There are more body threads (``front.BODY_THREADS``) than this: the rest refuse at once.
MOST_BODIES = 24
MOST_OF_ADDRESS = 12
RETRY_SECONDS = 5


@dataclass
class TooBusy(ScreeningError):
    """There are as many bodies on their way as there may be. ``retry_after`` is in seconds."""

    status = 429
    title = "Too many uploads at once"
    retry_after: int = RETRY_SECONDS

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)}


class AllBusy(TooBusy):
    """All that may send at once do; it isn't this sender's fault."""

    status = 503
    title = "The server is busy"


class Admission:
    """WSGI middleware that lends each request a :class:`Ticket`, ``environ["screening.ticket"]``, and takes it back.

    Args:
        app: what stands behind.
        most_of_account: so many uploads of one account at once, in this process.
    """

    def __init__(self, app: WSGIApplication, most_of_account: int) -> None:
        self._app = app
        self._most = {"all": MOST_BODIES, "address": MOST_OF_ADDRESS, "account": most_of_account}
        self._lock = threading.Lock()
        self._held: Counter[tuple[str, str]] = Counter()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        ticket = environ[TICKET] = Ticket(self, environ.get("REMOTE_ADDR", ""), environ.get(ADMITTED))
        try:
            return self._app(environ, start_response)
        finally:
            ticket.give_back()

    def take(self, places: tuple[tuple[str, str], ...]) -> None:
        """Take all of these places, or none.

        Raises:
            TooBusy: one of them is full.
        """
        with self._lock:
            full = next((place for place in places if self._held[place] >= self._most[place[0]]), None)
            if full is None:
                self._held.update(places)
                return
        raise _refusal(full[0], self._most[full[0]])

    def give_back(self, places: tuple[tuple[str, str], ...]) -> None:
        """Give up places that were taken."""
        with self._lock:
            self._held.subtract(places)
            for place in places:
                if self._held[place] <= 0:
                    del self._held[place]


class Ticket:
    """The right of one request to read its body; taken once, however often it is asked for."""

    def __init__(
        self, admission: Admission, address: str, admitted: Callable[[], object] | None = None
    ) -> None:
        self._admission = admission
        self._address = address
        self._admitted = admitted
        self._places: tuple[tuple[str, str], ...] = ()

    def admit(self, account: str | None = None) -> None:
        """Take the places of this request: of its account, where one is known, otherwise of its address.

        Raises:
            TooBusy: there is none; nothing of the body should be read.
        """
        if self._places:
            return
        who = ("address", self._address) if account is None else ("account", account.casefold())
        places = (("all", ""), who)
        self._admission.take(places)
        self._places = places
        if self._admitted is not None:
            self._admitted()

    def give_back(self) -> None:
        """Give the places back: the request is answered."""
        places, self._places = self._places, ()
        self._admission.give_back(places)


def _refusal(full: str, most: int) -> TooBusy:
    if full == "all":
        return AllBusy(
            "The server receives as many files as it can at the moment.",
            remedy="Send it again in a few seconds.",
        )
    whose = "Your account" if full == "account" else "Your network address"
    return TooBusy(
        f"{whose} sends {most} files at once already.",
        remedy="Wait until one of them has arrived and is screened, then send this one again.",
    )
