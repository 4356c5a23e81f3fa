"""Settings from the environment. Values that can't be used stop the start, with one line that names all of them."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from screening.errors import BadSetting
from screening.setting_values import (
    ALERTS,
    MOST_HOST_NAME,
    alert_limits,
    bucket_url,
    days_of,
    endpoint,
    host_name_of,
    names_of,
    networks,
    one_of,
    path_of,
    probability,
    read_settings,
    redis_url,
    refuse_all,
    secret_of,
    setting,
    share_sampled,
    signing_secret,
    sources_of,
    switch,
    whole,
)

T = TypeVar("T")
log = logging.getLogger(__name__)
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that the operator can set; CONTRACT names and defaults. ``max_upload`` is in bytes."""

    host: str = setting("HOST", str, "127.0.0.1")
    port: int = setting("PORT", whole(1, 65535), 5000)
    secret_key: str = setting("SECRET_KEY", secret_of, "", secret=True)
    users_file: Path = setting("USERS_FILE", path_of, ROOT / "users.txt")
    instance: Path = setting("INSTANCE_PATH", path_of, ROOT / "instance")
    database_url: str = setting("DATABASE_URL", str, "", secret=True)
    threshold: float = setting("FRAUD_THRESHOLD", probability, 0.8)
    signup: Literal["open", "approval", "closed"] = setting(
        "SIGNUP", one_of("open", "approval", "closed"), "open"
    )
    """``open``, ``approval`` (an admin lets each in) or ``closed``."""
    password_min_length: int = setting("PASSWORD_MIN_LENGTH", whole(8, 128), 12)
    max_upload: int = setting("MAX_UPLOAD_MB", whole(1, 1_000_000, 2**20), 1024 * 2**20)
    cookie_secure: bool | None = setting("COOKIE_SECURE", switch, None)
    """``None``: decided by each request (on when it came by https)."""
    trusted_proxies: tuple[str, ...] = setting("TRUSTED_PROXIES", networks, ())
    trusted_hosts: tuple[str, ...] = setting("TRUSTED_HOSTS", names_of, ())
    model_file: Path = setting("MODEL_FILE", path_of, ROOT / "model.h5")
    vectorizer_file: Path = setting("VECTORIZER_FILE", path_of, ROOT / "vectorizer.pkl")
    idle_minutes: int = setting("IDLE_MINUTES", whole(1, 720), 15)
    uploads_per_account: int = setting("UPLOADS_PER_ACCOUNT", whole(1, 20), 6)
    """At once, in one web process."""
    stored_per_account: int = setting("STORED_MB_PER_ACCOUNT", whole(1, 100_000_000, 2**20), 20_480 * 2**20)
    """Bytes that the files of one account may take on the disk."""
    sessions_per_account: int = setting("SESSIONS_PER_ACCOUNT", whole(1, 500), 20)
    workers: int = setting("WORKERS", whole(1, 64), 2)
    job_workers: int = setting("JOB_WORKERS", whole(1, 64), 2)
    hosts: Literal["one", "several"] = setting("HOSTS", one_of("one", "several"), "one")
    """``one`` has the instance to itself; ``several`` share database and folder."""
    role: Literal["all", "web", "worker"] = setting("ROLE", one_of("all", "web", "worker"), "all")
    """Processes of this host: ``all``, those that answer (``web``), or those that do jobs (``worker``)."""
    host_name: str = setting("HOST_NAME", host_name_of, "")
    """Name of this host among several; the same after a restart."""
    history_policy: Literal["managers", "own", "all"] = setting(
        "HISTORY_POLICY", one_of("managers", "own", "all"), "managers"
    )
    """Policy of whose earlier rows count for a user's files: ``managers``, ``own`` or ``all``."""
    keep_screenings_days: int | None = setting("KEEP_SCREENINGS_DAYS", whole(1, 36_500), None)
    """``None``: they are kept until somebody deletes them."""
    keep_ledger_days: int | None = setting("KEEP_LEDGER_DAYS", whole(1, 36_500), None)
    """``None``: decisions are kept for ever."""
    review_days: int = setting("REVIEW_DAYS", whole(1, 3_650), 30)
    """Flagged rows that were decided on longer ago don't become cases."""
    review_sample: float = setting("REVIEW_SAMPLE", share_sampled, 0.005)
    """Of rows that aren't flagged, so many are drawn at random and reviewed, too."""
    review_sla_hours: int = setting("REVIEW_SLA_HOURS", whole(1, 8_760), 24)
    """After so long a case that isn't decided is late."""
    review_release_minutes: int = setting("REVIEW_RELEASE_MINUTES", whole(1, 10_080), 30)
    """After so long a case goes back that somebody took and did nothing with."""
    review_queue: Literal["own", "team"] = setting("REVIEW_QUEUE", one_of("own", "team"), "own")
    """Cases that analysts are given: ``own`` transactions', or everybody's, ``team``."""
    four_eyes: bool = setting("FOUR_EYES", switch, False)
    """Changes of thresholds, rules, their lists and detectors hold once somebody else has approved them."""
    proposal_days: int = setting("PROPOSAL_DAYS", whole(1, 365), 14)
    """After so many a change that was proposed and that nobody decided on expires."""
    keep_reports_days: int = setting("KEEP_REPORTS_DAYS", whole(1, 36_500), 90)
    """Documents that were made as jobs are deleted so long after."""
    reports_hour: int = setting("REPORTS_HOUR", whole(0, 23), 6)
    """Of the day, UTC, from which on scheduled reports are made."""
    ledger_durability: Literal["full", "normal"] = setting(
        "LEDGER_DURABILITY", one_of("full", "normal"), "full"
    )
    """``full`` survives a loss of power, ``normal`` the end of any process."""
    state_url: str | None = setting("STATE_URL", redis_url, None, secret=True)
    """Of the Redis in which the velocity state is; ``None``: it is in the ledger's database. May hold a password."""
    storage_url: str | None = setting("STORAGE_URL", bucket_url, None, secret=True)
    """Of the bucket in which finished files are kept; ``None``: in the instance's folder."""
    storage_cache: int = setting("STORAGE_CACHE_MB", whole(64, 1_000_000_000, 2**20), 20_480 * 2**20)
    """Bytes of these files that may be on the disk, too, where there is a bucket."""
    ip_countries: Path | None = setting("IP_COUNTRIES", path_of, None)
    """A table of address ranges, for transactions that bring no country."""
    alerts: Mapping[str, float] = setting("ALERTS", alert_limits, dict(ALERTS))
    """Rules that are watched, each with its limit."""
    drift_windows: tuple[int, ...] = setting("DRIFT_WINDOWS", days_of, (1, 7))
    """Days that are compared with the training data, ascending."""
    label_delay_days: int | None = setting("LABEL_DELAY_DAYS", whole(1, 365), None)
    """After so many days the labels of a decision have come; ``None``: as long as those took that came."""
    label_coverage: frozenset[str] = setting("LABEL_COVERAGE", sources_of, frozenset())
    """Sources of which whatever has no label after that is legitimate."""
    log_format: Literal["text", "json"] = setting("LOG_FORMAT", one_of("text", "json"), "text")
    """``text`` or ``json``."""
    webhook_url: str | None = setting("WEBHOOK_URL", endpoint, None, secret=True)
    """Address that messages about alerts are sent to."""
    webhook_secret: str | None = setting("WEBHOOK_SECRET", signing_secret, None, secret=True)
    """Secret that they are signed with."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the environment.

        Raises:
            BadSetting: variables hold something else than their kinds, or don't go together; the message names all.
        """
        found = read_settings(cls, environ)
        settings = cls(**cls.derived(found) | found)
        refuse_all(settings.contradictions())
        return settings

    @staticmethod
    def derived(found: Mapping[str, Any]) -> dict[str, Any]:
        """Return the defaults that depend on other settings or on the machine."""
        instance = found.get("instance", ROOT / "instance")
        return {
            "database_url": f"sqlite:///{instance / 'screening.sqlite3'}",
            "host_name": socket.gethostname()[:MOST_HOST_NAME],
        }

    def contradictions(self) -> Iterator[BadSetting]:
        """Yield what is wrong with settings that are each right."""
        if (self.webhook_url is None) != (self.webhook_secret is None):
            yield BadSetting(
                "WEBHOOK_URL and WEBHOOK_SECRET belong together, and one of them isn't set.",
                remedy="Set both, or neither.",
            )
        if self.several and not self.database_url.startswith("postgres"):
            yield BadSetting(
                "HOSTS is several, and DATABASE_URL names no PostgreSQL: hosts meet in the database.",
                remedy="Set DATABASE_URL to postgresql://user:password@host/database, or unset HOSTS.",
            )
        if not self.several and self.role != "all":
            yield BadSetting(
                f"ROLE is {self.role}, and HOSTS isn't several: nobody would do the rest.",
                remedy="Set HOSTS=several on all hosts, or unset ROLE.",
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
