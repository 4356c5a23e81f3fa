"""Find the sender of a request behind a proxy: forwarded headers count only when a known proxy sent them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
FORWARDED = ("FOR", "PROTO", "HOST", "PORT", "PREFIX")
FORWARDING = frozenset(
    (
        *(f"HTTP_X_FORWARDED_{name}" for name in FORWARDED),
        "HTTP_FORWARDED",
        "HTTP_VIA",
        "HTTP_X_REAL_IP",
    )
)
"""Headers that proxies add to a request, ours or not."""
# In the environ. Unknown proxies count too: what came through one isn't from this machine, whatever its
# address.
PROXIED = "screening.proxied"


HOST = re.compile(
    r"(?:(?=[^:]{1,253}(?::|$))[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
)
"""A name that a host can have: of labels that are neither blank nor longer than 63 signs (RFC 1035, 2.3.4)."""


class TrustedProxies:
    """Takes client address, scheme and host from ``X-Forwarded-*`` when the sender is in ``networks``.

    Of the addresses the right-most that is no proxy of ours counts: what stands left of it was sent by the client
    and may be invented. From anybody else the headers are removed, so that nothing behind can believe them.
    """

    def __init__(self, app: WSGIApplication, networks: Sequence[str]) -> None:
        self._app = app
        known = [ipaddress.ip_network(network, strict=False) for network in networks]
        # asked twice for each request, mostly of the same few
        self._trusts = lru_cache(maxsize=1024)(lambda address: any(address in network for network in known))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.look_through(environ)
        return self._app(environ, start_response)

    def look_through(self, environ: WSGIEnvironment) -> None:
        """Put the client's address, scheme and host into a request's environ."""
        environ[PROXIED] = not FORWARDING.isdisjoint(environ)
        if environ[PROXIED]:
            self._take_forwarded(environ)
        else:
            environ["REMOTE_ADDR"] = plain_address(environ.get("REMOTE_ADDR", ""))
        if not HOST.fullmatch(environ.get("HTTP_HOST", "")):
            # no address can be made of it, not even for the page that refuses it
            environ["HTTP_HOST"] = ""

    def _take_forwarded(self, environ: WSGIEnvironment) -> None:
        sender = read_address(environ.get("REMOTE_ADDR", ""))
        given = {name: environ.pop(f"HTTP_X_FORWARDED_{name}", "") for name in FORWARDED}
        environ.pop("HTTP_FORWARDED", None)
        if sender is not None:
            environ["REMOTE_ADDR"] = _text(sender)
            if self._trusts(sender):
                environ["REMOTE_ADDR"] = _text(self._client(sender, given["FOR"]))
                scheme = given["PROTO"].rpartition(",")[2].strip().lower()
                host = given["HOST"].rpartition(",")[2].strip()
                if scheme in ("http", "https"):
                    environ["wsgi.url_scheme"] = scheme
                if host:
                    environ["HTTP_HOST"] = host

    @staticmethod
    def is_loopback(environ: WSGIEnvironment) -> bool:
        """Return whether a request was sent on this machine, to this machine's own name, and through no proxy.

        A proxy on this machine sends all that it is sent from loopback, known to us or not. A name of another one that
        leads here is a page in somebody's browser (DNS rebinding).
        """
        address = read_address(environ.get("REMOTE_ADDR", ""))
        name = environ.get("HTTP_HOST", "").lower()
        own = name.partition("]")[0].strip("[") if name.startswith("[") else name.partition(":")[0]
        here = own == "localhost" or ((host := read_address(own)) is not None and host.is_loopback)
        return here and address is not None and address.is_loopback and not environ.get(PROXIED, True)

    def address_of(self, environ: WSGIEnvironment) -> str:
        """Return whose request it is; nothing is changed."""
        if "HTTP_X_FORWARDED_FOR" not in environ:
            return plain_address(environ.get("REMOTE_ADDR", ""))
        sender = read_address(environ.get("REMOTE_ADDR", ""))
        if sender is None:
            return str(environ.get("REMOTE_ADDR", ""))
        return _text(
            self._client(sender, environ.get("HTTP_X_FORWARDED_FOR", "")) if self._trusts(sender) else sender
        )

    def _client(self, sender: Address, chain: str) -> Address:
        client = sender
        for part in reversed(chain.split(",")):
            hop = read_address(part)
            if hop is None:
                break
            client = hop
            if not self._trusts(hop):
                break
        return client


_text = lru_cache(maxsize=1024)(str)


@lru_cache(maxsize=1024)
def plain_address(text: str) -> str:
    """Return an address as it is written everywhere; what is none stays as it is."""
    address = read_address(text)
    return text if address is None else str(address)


@lru_cache(maxsize=1024)
def read_address(text: str) -> Address | None:
    """Return an address as proxies write it, perhaps with a port; an IPv4 address mapped into IPv6 is the IPv4 one."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
