"""Declares settings, and reads their values from the environment.

A function that reads a value returns what a text says, and raises a ``ValueError`` that ends a sentence which begins
with the setting's name, as "must be on or off".
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import urlsplit

from screening.errors import BadSetting

T = TypeVar("T")
# a shorter key is easier to guess than the signatures that it protects
SECRET_BYTES = 32
MOST_HOST_NAME = 63
HOST_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MOST_HOST_NAME - 1}}}", re.ASCII)
ALERTS: Mapping[str, float] = MappingProxyType(
    {
        "flag_rate": 3.0,
        "latency": 1.0,
        "errors": 0.05,
        "silence": 24.0,
        "disk": 1.0,
        "backlog": 15.0,
        "drift": 0.2,
        "ledger": 24.0,
        "bucket": 5.0,
        "stream": 10_000.0,
    }
)
"""Rules that are watched, with the usual limits: times, seconds, share, hours, GB, minutes, PSI, hours, minutes, and
messages."""


@dataclass(frozen=True, slots=True)
class Variable:
    """The environment variable of one setting."""

    name: str
    read: Callable[[str], Any]
    secret: bool

    def value(self, raw: str) -> Any:
        """Return what a text says.

        Raises:
            BadSetting: it is no value of this setting. A secret isn't repeated.
        """
        try:
            return self.read(raw)
        except ValueError as problem:
            shown = "" if self.secret else f" is {raw!r}, which"
            raise BadSetting(
                f"{self.name}{shown} {problem}.", remedy=f"Set {self.name} to such a value or unset it."
            ) from None


def setting(name: str, read: Callable[[str], T], default: T, *, secret: bool = False) -> T:
    """Declare a field of a dataclass of settings.

    Args:
        name: of the variable.
        read: returns the value of a text, as those below.
        default: where the variable is unset or blank.
        secret: it is, or may hold, a secret: its value is shown neither in errors nor by ``repr``.
    """
    return field(
        default_factory=lambda: default,
        repr=not secret,
        metadata={"variable": Variable(name, read, secret)},
    )


def read_settings(kind: type[Any], environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the fields of a dataclass of settings that are set, by their names.

    Args:
        kind: all its fields are declared by :func:`setting`.
        environ: the variables; the process's where none are given. A blank one counts as not set.

    Raises:
        BadSetting: variables hold something else than their kinds; the message names all of them.
    """
    environ = os.environ if environ is None else environ
    found: dict[str, Any] = {}
    faults: list[BadSetting] = []
    for each in fields(kind):
        variable: Variable = each.metadata["variable"]
        if raw := environ.get(variable.name, "").strip():
            try:
                found[each.name] = variable.value(raw)
            except BadSetting as fault:
                faults.append(fault)
    refuse_all(faults)
    return found


def refuse_all(faults: Iterable[BadSetting]) -> None:
    """Return if there are none.

    Raises:
        BadSetting: there are some; it says all of them.
    """
    faults = list(faults)
    if faults:
        raise BadSetting(
            " ".join(fault.what for fault in faults),
            remedy=" ".join(fault.remedy for fault in faults if fault.remedy),
        )


def host_name_of(raw: str) -> str:
    """Read the name of a host, which is that of a folder, too. Raises ``ValueError`` for any other text."""
    if not HOST_NAME.fullmatch(raw):
        raise ValueError(
            f"must be 1 to {MOST_HOST_NAME} letters, digits, “.”, “_” and “-”, beginning with a letter or digit"
        )
    return raw


def path_of(raw: str) -> Path:
    """Read a path: of the user's home with ``~``, relative to the folder in which the app was started."""
    return Path(raw).expanduser().resolve()


def secret_of(raw: str) -> str:
    """Read a secret, which has to be long enough to be one."""
    if len(raw.encode()) < SECRET_BYTES:
        raise ValueError(f"must be at least {SECRET_BYTES} bytes long")
    return raw


def whole(low: int, high: int, unit: int = 1) -> Callable[[str], int]:
    """Return what reads a whole number from ``low`` to ``high``, and returns it in units: ``2**20`` for megabytes."""

    def read(raw: str) -> int:
        # int() alone takes "1_000", and digits of all scripts; a text of thousands of digits is none of these numbers
        if not (raw.isascii() and raw.isdigit() and len(raw) <= 30 and low <= int(raw) <= high):
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(raw) * unit

    return read


def probability(raw: str) -> float:
    """Read a probability. Raises ``ValueError`` for any other text."""
    message = "must be a probability above 0 and at most 1, as 0.8"
    value = decimal(raw)
    if not 0 < value <= 1:
        raise ValueError(message)
    return value


def share_sampled(raw: str) -> float:
    """Read a share from 0 to 0.5. Raises ``ValueError`` for any other text."""
    value = decimal(raw)
    if not 0 <= value <= 0.5:
        raise ValueError("must be a share from 0 to 0.5, as 0.005")
    return value


def decimal(raw: str) -> float:
    """Return a number as people write it, NaN for any other text: ``float`` takes ``0_8`` and the digits of all
    scripts.
    """
    return float(raw) if re.fullmatch(r"\+?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", raw, re.ASCII) else math.nan


def one_of(*options: T) -> Callable[[str], T]:
    """Return what reads one of some words, in letters of any case."""
    known = {str(option): option for option in options}

    def read(raw: str) -> T:
        if raw.lower() not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return known[raw.lower()]

    return read


def redis_url(raw: str) -> str:
    """Read the address of a Redis server. Raises ``ValueError`` for any other text."""
    if not raw.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    return raw


def bucket_url(raw: str) -> str:
    """Read the address of a bucket, with a prefix or without. Raises ``ValueError`` for any other text."""
    if not re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.-]+)*/?", raw, re.ASCII):
        raise ValueError(
            "must be s3://bucket or s3://bucket/prefix; credentials belong into the AWS_* variables"
        )
    return raw.rstrip("/")


def alert_limits(raw: str) -> Mapping[str, float]:
    """Read rules and their limits, as ``latency=0.5, silence=off``; what isn't named has its usual limit."""
    found = dict(ALERTS)
    for part in raw.split(","):
        name, _, value = (each.strip().lower() for each in part.partition("="))
        if name not in ALERTS:
            raise ValueError(f"must name rules of {', '.join(ALERTS)}, as “latency=0.5, silence=off”")
        if value == "off":
            found.pop(name, None)
            continue
        limit = decimal(value)
        # so many times: less than once is always
        least = 1 if name == "flag_rate" else 0
        if not (math.isfinite(limit) and limit > least):
            raise ValueError(f"must give “{name}” a number above {least}, or off")
        found[name] = limit
    return found


def days_of(raw: str) -> tuple[int, ...]:
    """Read up to four whole numbers of days, as ``1, 7``."""
    parts = [part.strip() for part in raw.split(",")]
    if len(parts) > 4 or not all(
        part.isascii() and part.isdigit() and 1 <= int(part) <= 90 for part in parts
    ):
        raise ValueError("must be one to four whole numbers of days from 1 to 90, as “1, 7”")
    return tuple(sorted({int(part) for part in parts}))


def sources_of(raw: str) -> frozenset[str]:
    """Read sources of decisions, separated by commas. Raises ``ValueError`` for one that there isn't."""
    found = frozenset(part.strip().lower() for part in raw.split(","))
    if not found <= {"api", "file", "stream"}:
        raise ValueError("must name sources of api, file, stream")
    return found


def endpoint(raw: str) -> str:
    """Return the address of a webhook: https, since messages tell of fraud; http only where nobody can listen."""
    message = "must be an https:// address without name and password (http:// only to this machine)"
    try:
        parts = urlsplit(raw)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(message) from None
    plain = parts.scheme == "http" and host is not None and is_this_machine(host)
    if not host or not (parts.scheme == "https" or plain) or "@" in parts.netloc or not raw.isascii():
        raise ValueError(message)
    if any(sign.isspace() or not sign.isprintable() for sign in raw):
        raise ValueError(message)
    return raw


def is_this_machine(host: str) -> bool:
    """Return whether a host is this machine, whose connections nobody else hears."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def signing_secret(raw: str) -> str:
    """Return a secret as Standard Webhooks has it: 24 to 64 bytes in Base64, mostly after ``whsec_``."""
    try:
        key = base64.b64decode(raw.removeprefix("whsec_"), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("must be “whsec_” and 24 to 64 random bytes in Base64")
    return raw


def switch(raw: str) -> bool:
    """Read on or off, in the usual words. Raises ``ValueError`` for any other text."""
    known = {
        "1": True,
        "true": True,
        "on": True,
        "yes": True,
        "0": False,
        "false": False,
        "off": False,
        "no": False,
    }
    if raw.lower() not in known:
        raise ValueError("must be on or off")
    return known[raw.lower()]


def networks(raw: str) -> tuple[str, ...]:
    """Read addresses or networks of proxies, separated by commas: ``10.0.0.1, 192.168.0.0/16``."""
    try:
        return tuple(str(ipaddress.ip_network(part.strip(), strict=False)) for part in raw.split(","))
    except ValueError:
        raise ValueError("must be IP addresses or networks separated by commas") from None


def names_of(raw: str) -> tuple[str, ...]:
    """Read names separated by commas, in small letters."""
    return tuple(part.strip().lower() for part in raw.split(",") if part.strip())
