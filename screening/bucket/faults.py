"""Say in our own words why a bucket can't be used, by the store's own code where it gives one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from screening.errors import ScreeningError

NO_BUCKET = "NoSuchBucket"
CODE = re.compile(r"<Code>(\w+)</Code>")
REASONS = {
    NO_BUCKET: "there is no such bucket",
    "InvalidAccessKeyId": "it doesn't know this access key",
    "SignatureDoesNotMatch": "the secret isn't that of the access key",
    "InvalidToken": "it doesn't accept these credentials",
    "ExpiredToken": "the credentials have run out",
    "RequestTimeTooSkewed": "its clock and this machine's differ",
    "AccessDenied": "these credentials may not do that",
    "PermanentRedirect": "it is in another region than AWS_REGION says",
    "AuthorizationHeaderMalformed": "it is in another region than AWS_REGION says",
}
REFUSED = ("status code: 401", "status code: 403")
"""Words of the library for an answer that has no code, as one to HEAD."""


@dataclass
class BucketUnavailable(ScreeningError):
    """The bucket can't be used at the moment: nothing was lost, and nothing is answered without it."""

    why: str = ""
    """The reason, as the end of a sentence."""
    code: str = ""
    """What the store calls it; empty where it didn't say."""

    status = 503
    title = "A file can't be reached at the moment"

    def as_dict(self) -> dict[str, Any]:
        """Return the error without the bucket's address, which is the operator's business: the log has it."""
        return {**super().as_dict(), "where": None}


class DamagedObject(OSError):
    """An object isn't what was put."""


def code_of(told: str) -> str:
    """Return the store's own code in the library's words; empty where there is none."""
    found = CODE.search(told)
    return "" if found is None else found[1]


def reason_of(told: str) -> str | None:
    """Return why a store refuses, as the end of a sentence; ``None`` where it wasn't reached, or has a fault."""
    reason = REASONS.get(code_of(told))
    if reason is None and any(sign in told for sign in REFUSED):
        return "it doesn't accept these credentials"
    return reason


def unavailable(url: str, doing: str, why: str, code: str = "") -> BucketUnavailable:
    """Return the error of a bucket that can't be used.

    Args:
        url: of the bucket.
        doing: what was tried, as ``put ledger/a``.
        why: the end of a sentence.
        code: the store's.
    """
    return BucketUnavailable(
        f"The bucket in which files are kept can't be used at the moment: {why}. Nothing was lost.",
        where=f"{url}, {doing}{code and ': '}{code}",
        remedy="Try again in a minute. The operator finds more in the log, and sees that STORAGE_URL, the AWS_* "
        "variables and the bucket's policy are right.",
        why=why,
        code=code,
    )
