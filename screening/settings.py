"""Settings from the environment. A value that can't be used stops the start with one clear line."""

from __future__ import annotations

import base64
import binascii
import errno
import ipaddress
import logging
import math
import os
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import urlsplit

from screening.errors import BadSetting

T = TypeVar("T")
log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parent.parent
# a shorter key is easier to guess than the signatures that it protects
SECRET_BYTES = 32


MOST_HOST_NAME = 63
HOST_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MOST_HOST_NAME - 1}}}", re.ASCII)
CONFIDENTIAL = {
    "SECRET_KEY",
    "STATE_URL",
    "STORAGE_URL",
    "STREAM_CERTIFICATE_PASSWORD",
    "STREAM_OPTIONS",
    "STREAM_PASSWORD",
    "WEBHOOK_URL",
    "WEBHOOK_SECRET",
}
"""Variables whose values are never shown: they are secrets, or may hold one."""
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
    }
)
"""Rules that are watched, with the usual limits: times, seconds, share, hours, GB, minutes, PSI, and hours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that the operator can set; CONTRACT names and defaults. ``max_upload`` is in bytes."""

    host: str = "127.0.0.1"
    port: int = 5000
    secret_key: str = ""
    users_file: Path = ROOT / "users.txt"
    instance: Path = ROOT / "instance"
    database_url: str = ""
    threshold: float = 0.8
    signup: str = "open"
    """``open``, ``approval`` (an admin lets each in) or ``closed``."""
    password_min_length: int = 12
    max_upload: int = 1024 * 2**20
    cookie_secure: bool | None = None
    """``None``: decided by each request (on when it came by https)."""
    trusted_proxies: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    model_file: Path = ROOT / "model.h5"
    vectorizer_file: Path = ROOT / "vectorizer.pkl"
    idle_minutes: int = 15
    uploads_per_account: int = 6
    """At once, in one web process."""
    stored_per_account: int = 20_480 * 2**20
    """Bytes that the files of one account may take on the disk."""
    sessions_per_account: int = 20
    workers: int = 2
    job_workers: int = 2
    hosts: str = "one"
    """``one`` has the instance to itself; ``several`` share database and folder."""
    role: str = "all"
    """Processes of this host: ``all``, those that answer (``web``), or those that do jobs (``worker``)."""
    host_name: str = ""
    """Name of this host among several; the same after a restart."""
    history_policy: str = "managers"
    """Policy of whose earlier rows count for a user's files: ``managers``, ``own`` or ``all``."""
    keep_screenings_days: int | None = None
    """``None``: they are kept until somebody deletes them."""
    keep_ledger_days: int | None = None
    """``None``: decisions are kept for ever."""
    review_days: int = 30
    """Flagged rows that were decided on longer ago don't become cases."""
    review_sample: float = 0.005
    """Of rows that aren't flagged, so many are drawn at random and reviewed, too."""
    review_sla_hours: int = 24
    """After so long a case that isn't decided is late."""
    review_release_minutes: int = 30
    """After so long a case goes back that somebody took and did nothing with."""
    review_queue: str = "own"
    """Cases that analysts are given: ``own`` transactions', or everybody's, ``team``."""
    four_eyes: bool = False
    """Changes of thresholds, rules, their lists and detectors hold once somebody else has approved them."""
    proposal_days: int = 14
    """After so many a change that was proposed and that nobody decided on expires."""
    keep_reports_days: int = 90
    """Documents that were made as jobs are deleted so long after."""
    reports_hour: int = 6
    """Of the day, UTC, from which on scheduled reports are made."""
    ledger_durability: str = "full"
    """``full`` survives a loss of power, ``normal`` the end of any process."""
    state_url: str | None = field(default=None, repr=False)
    """Of the Redis in which the velocity state is; ``None``: it is in the ledger's database. May hold a password."""
    storage_url: str | None = None
    """Of the bucket in which finished files are kept; ``None``: in the instance's folder."""
    storage_cache: int = 20_480 * 2**20
    """Bytes of these files that may be on the disk, too, where there is a bucket."""
    ip_countries: Path | None = None
    """A table of address ranges, for transactions that bring no country."""
    alerts: Mapping[str, float] = field(default_factory=lambda: dict(ALERTS))
    """Rules that are watched, each with its limit."""
    drift_windows: tuple[int, ...] = (1, 7)
    """Days that are compared with the training data, ascending."""
    label_delay_days: int | None = None
    """After so many days the labels of a decision have come; ``None``: as long as those took that came."""
    label_coverage: frozenset[str] = frozenset()
    """Sources of which whatever has no label after that is legitimate."""
    log_format: str = "text"
    """``text`` or ``json``."""
    webhook_url: str | None = field(default=None, repr=False)
    """Address that messages about alerts are sent to."""
    webhook_secret: str | None = field(default=None, repr=False)
    """Secret that they are signed with."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment.

        Raises:
            BadSetting: a variable holds something else than its kind; the message names it.
        """
        read = Reader(os.environ if environ is None else environ)
        instance = read("INSTANCE_PATH", path_of, ROOT / "instance")
        webhook_url = read("WEBHOOK_URL", endpoint, None)
        webhook_secret = read("WEBHOOK_SECRET", signing_secret, None)
        if (webhook_url is None) != (webhook_secret is None):
            raise BadSetting(
                "WEBHOOK_URL and WEBHOOK_SECRET belong together, and one of them isn't set.",
                remedy="Set both, or neither.",
            )
        database_url = read("DATABASE_URL", plain_text, f"sqlite:///{instance / 'screening.sqlite3'}")
        hosts = read("HOSTS", one_of("one", "several"), "one")
        role = read("ROLE", one_of("all", "web", "worker"), "all")
        require_shareable(hosts, role, database_url)
        return cls(
            hosts=hosts,
            role=role,
            host_name=read("HOST_NAME", host_name_of, socket.gethostname()[:MOST_HOST_NAME]),
            alerts=read("ALERTS", alert_limits, dict(ALERTS)),
            drift_windows=read("DRIFT_WINDOWS", days_of, (1, 7)),
            label_delay_days=read("LABEL_DELAY_DAYS", whole(1, 365), None),
            label_coverage=read("LABEL_COVERAGE", sources_of, frozenset()),
            log_format=read("LOG_FORMAT", one_of("text", "json"), "text"),
            webhook_url=webhook_url,
            webhook_secret=webhook_secret,
            host=read("HOST", plain_text, "127.0.0.1"),
            port=read("PORT", whole(1, 65535), 5000),
            secret_key=read("SECRET_KEY", secret_of, ""),
            users_file=read("USERS_FILE", path_of, ROOT / "users.txt"),
            instance=instance,
            database_url=database_url,
            threshold=read("FRAUD_THRESHOLD", probability, 0.8),
            signup=read("SIGNUP", one_of("open", "approval", "closed"), "open"),
            password_min_length=read("PASSWORD_MIN_LENGTH", whole(8, 128), 12),
            max_upload=read("MAX_UPLOAD_MB", whole(1, 1_000_000), 1024) * 2**20,
            cookie_secure=read("COOKIE_SECURE", switch, None),
            trusted_proxies=read("TRUSTED_PROXIES", networks, ()),
            trusted_hosts=read("TRUSTED_HOSTS", names_of, ()),
            model_file=read("MODEL_FILE", path_of, ROOT / "model.h5"),
            vectorizer_file=read("VECTORIZER_FILE", path_of, ROOT / "vectorizer.pkl"),
            idle_minutes=read("IDLE_MINUTES", whole(1, 720), 15),
            uploads_per_account=read("UPLOADS_PER_ACCOUNT", whole(1, 20), 6),
            stored_per_account=read("STORED_MB_PER_ACCOUNT", whole(1, 100_000_000), 20_480) * 2**20,
            sessions_per_account=read("SESSIONS_PER_ACCOUNT", whole(1, 500), 20),
            workers=read("WORKERS", whole(1, 64), 2),
            job_workers=read("JOB_WORKERS", whole(1, 64), 2),
            ledger_durability=read("LEDGER_DURABILITY", one_of("full", "normal"), "full"),
            state_url=read("STATE_URL", redis_url, None),
            storage_url=read("STORAGE_URL", bucket_url, None),
            storage_cache=read("STORAGE_CACHE_MB", whole(64, 1_000_000_000), 20_480) * 2**20,
            ip_countries=read("IP_COUNTRIES", path_of, None),
            history_policy=read("HISTORY_POLICY", one_of("managers", "own", "all"), "managers"),
            review_days=read("REVIEW_DAYS", whole(1, 3_650), 30),
            review_sample=read("REVIEW_SAMPLE", share_sampled, 0.005),
            review_sla_hours=read("REVIEW_SLA_HOURS", whole(1, 8_760), 24),
            review_release_minutes=read("REVIEW_RELEASE_MINUTES", whole(1, 10_080), 30),
            review_queue=read("REVIEW_QUEUE", one_of("own", "team"), "own"),
            four_eyes=bool(read("FOUR_EYES", switch, None)),
            proposal_days=read("PROPOSAL_DAYS", whole(1, 365), 14),
            keep_ledger_days=read("KEEP_LEDGER_DAYS", whole(1, 36_500), None),
            keep_reports_days=read("KEEP_REPORTS_DAYS", whole(1, 36_500), 90),
            reports_hour=read("REPORTS_HOUR", whole(0, 23), 6),
            keep_screenings_days=read("KEEP_SCREENINGS_DAYS", whole(1, 36_500), None),
        )

    @property
    def several(self) -> bool:
        """Return whether other hosts work on the same database and folder."""
        return self.hosts == "several"

    @property
    def of_host(self) -> Path:
        """Return the folder of what processes of this host share in memory: no other host writes there."""
        return self.instance / "hosts" / self.host_name if self.several else self.instance

    @property
    def is_default_pair(self) -> bool:
        """Return whether the model and vectorizer are the two at the root, which must match their card."""
        return (self.model_file, self.vectorizer_file) == (ROOT / "model.h5", ROOT / "vectorizer.pkl")


def require_shareable(hosts: str, role: str, database_url: str) -> None:
    """See that what several hosts share can be shared.

    Raises:
        BadSetting: it can't.
    """
    if hosts == "several" and not database_url.startswith("postgres"):
        raise BadSetting(
            "HOSTS is several, and DATABASE_URL names no PostgreSQL: hosts meet in the database.",
            remedy="Set DATABASE_URL to postgresql://user:password@host/database, or unset HOSTS.",
        )
    if hosts == "one" and role != "all":
        raise BadSetting(
            f"ROLE is {role}, and HOSTS isn't several: nobody would do the rest.",
            remedy="Set HOSTS=several on all hosts, or unset ROLE.",
        )


def make_instance(settings: Settings) -> None:
    """Make the instance folder, if it isn't there, and close it to everybody but its owner.

    Raises:
        BadSetting: it can't be made, is a file, or is open to others and another user's.
    """
    try:
        settings.instance.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(settings.instance, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        make_private(settings.instance)
        if settings.several:
            (settings.of_host / "signals").mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise BadSetting(
            f"INSTANCE_PATH is {str(settings.instance)!r}, which can't be a folder: {problem.strerror}.",
            remedy="Set INSTANCE_PATH to a folder that can be written, or unset it.",
        ) from None


def make_private(folder: Path) -> None:
    """Take the rights of others away: the database and remembered rows below are nobody else's business."""
    if os.name != "posix" or not folder.stat().st_mode & 0o077:
        return
    try:
        folder.chmod(0o700)
    except PermissionError:
        raise BadSetting(
            f"INSTANCE_PATH is {str(folder)!r}, which others on this machine can read, and it is another user's.",
            remedy="Give the folder to the server's user, or set its mode to 0700.",
        ) from None
    log.debug("%s could be read by others on this machine; it is its owner's alone now (mode 0700)", folder)


class Reader:
    """Reads variables of an environment; a blank one counts as not set.

    Args:
        environ: the variables.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def __call__(self, name: str, parse: Callable[[str], T], default: T) -> T:
        """Return what ``parse`` makes of a variable.

        Raises:
            BadSetting: it makes nothing of it.
        """
        raw = self._environ.get(name, "").strip()
        if not raw:
            return default
        try:
            return parse(raw)
        except ValueError as problem:
            shown = "" if name in CONFIDENTIAL else f" is {raw!r}, which"
            raise BadSetting(
                f"{name}{shown} {problem}.", remedy=f"Set {name} to such a value or unset it."
            ) from None


def plain_text(raw: str) -> str:
    """Read any text."""
    return raw


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


def whole(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a whole number from ``low`` to ``high``."""

    def parse(raw: str) -> int:
        if not raw.isascii() or not raw.isdigit() or not low <= int(raw) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(raw)

    return parse


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


def _choice(**options: T) -> Callable[[str], T]:
    def parse(raw: str) -> T:
        if raw.lower() not in options:
            raise ValueError(f"must be one of {', '.join(options)}")
        return options[raw.lower()]

    return parse


def one_of(*options: str) -> Callable[[str], str]:
    """Return what reads one of some words, in small letters."""

    def parse(raw: str) -> str:
        if raw.lower() not in options:
            raise ValueError(f"must be one of {', '.join(options)}")
        return raw.lower()

    return parse


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
    if not found <= {"api", "file"}:
        raise ValueError("must name sources of api, file")
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


def switch(raw: str) -> bool | None:
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
