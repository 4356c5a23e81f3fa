"""The audit log: one JSON line for each thing that somebody may have to account for.

A line is written by a single ``write`` to a file that is open for appending, by whoever has the log's lock, so that
lines of several processes never mix and a line cut off by a full disk doesn't swallow the next. Each names the hash of
the line before (:mod:`screening.infra.audit.chain`). Each month (UTC) has a file of its own,
named by the line's own time: nothing is renamed under a writer, so no line can be lost to a rotation, and a month that
is over is never written again: it may be packed, hashed or moved away. What must never be in a log is taken
out here, whoever calls: secrets by their field's name, card numbers and API keys by their form.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from screening.cards.masking import DIGITS, masked, without_card_numbers
from screening.errors import BadSetting
from screening.infra.audit.chain import Chain
from screening.infra.instance_secret import InstanceSecret

log = logging.getLogger("screening.infra.audit_log")

SECRET_FIELDS = re.compile(r"password|passwd|secret|cookie|token|authorization|api_?key|hash$", re.IGNORECASE)
FINGERPRINT_FIELDS = ("sha256", "model_sha256", "fingerprint", "request_id", "screening")
HEX = re.compile(r"[0-9a-f-]{16,128}")
OWN_ID = re.compile(r"[0-9a-f]{32}")
"""Form of the ids of screenings, trainings, runs and documents."""
KEY_PREFIX = "fsk_"
API_KEY = re.compile(rf"{KEY_PREFIX}([0-9a-z]{{10}})_[0-9A-Za-z]+", re.ASCII)
"""An API key, also a damaged one, with its public id as group 1."""
MOST_TEXT = 500
KEY_PURPOSE = "audit head"
AUDIT = "audit"
"""The part of a record of the log that has the line, cleaned."""


def utc_now() -> datetime:
    """Return the present time, aware."""
    return datetime.now(UTC)


class AuditLog:
    """Appends to ``<instance>/log/audit-<year>-<month>.jsonl``, mode 0600.

    Args:
        instance: the app's own folder.
        clock: gives the present time in UTC.
    """

    def __init__(self, instance: Path, clock: Callable[[], datetime] = utc_now) -> None:
        self._folder = instance / "log"
        self._clock = clock
        secret = InstanceSecret(instance)
        self.chain = Chain(self._folder, lambda: secret.derive(KEY_PURPOSE), self.files)

    @property
    def path(self) -> Path:
        """The file of the present month."""
        return self._of(self._clock())

    def files(self) -> list[Path]:
        """Return every month's file, the oldest first; before them the one that versions up to 0.2 kept."""
        return log_files(self._folder)

    def _of(self, moment: datetime) -> Path:
        return self._folder / f"audit-{moment:%Y-%m}.jsonl"

    def record(self, event: str, **fields: Any) -> None:
        """Write one line: UTC time, event, and the fields, cleaned.

        A log that can't be written is reported to the operator's log; the act itself goes on.
        """
        line: dict[str, Any] = {}

        def make() -> tuple[str, dict[str, Any]]:
            # when it is this line's turn: the times of a file ascend
            moment = self._clock()
            line.update(time=moment.isoformat(timespec="microseconds"), event=event)
            line.update({name: clean_field(name, value) for name, value in fields.items()})
            return self._of(moment).name, line

        try:
            self.chain.append(make)
        except (OSError, BadSetting) as problem:
            log.error("the audit log can't be written: %s", getattr(problem, "strerror", None) or problem)
            if not line:
                make()
        log.info("%s", json.dumps(line, ensure_ascii=True, default=str), extra={AUDIT: line})


def log_files(folder: Path) -> list[Path]:
    """Return the files of an audit log in a folder, the oldest first."""
    whole = folder / "audit.jsonl"
    return [*([whole] if whole.exists() else []), *sorted(folder.glob("audit-*.jsonl"))]


def mask_keys(text: str) -> str:
    """Return text in which API keys are cut down to their public id."""
    return API_KEY.sub(rf"{KEY_PREFIX}\1_[withheld]", text) if KEY_PREFIX in text else text


def clean_field(name: str, value: Any) -> Any:
    """Return a field as it may be kept: no secret by its name, no card number and no API key by its form."""
    if SECRET_FIELDS.search(name) and name not in FINGERPRINT_FIELDS:
        return "[withheld]"
    if isinstance(value, dict):
        return {str(key): clean_field(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean_field(name, inner) for inner in value]
    small = isinstance(value, int) and abs(value) < 10**11
    if value is None or small or isinstance(value, float):
        return value
    text = str(value)
    digest = name in FINGERPRINT_FIELDS and HEX.fullmatch(text)
    if digest or (OWN_ID.fullmatch(text) and without_card_numbers(text, DIGITS) == text):
        # either may well hold twelve decimal digits in a row: of 30 ids one does
        return text
    return masked(mask_keys(text[: 2 * MOST_TEXT]), by=DIGITS)[:MOST_TEXT]
