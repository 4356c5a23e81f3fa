"""Uploads of parts that nobody ended: a process that is killed leaves them in the bucket, where no list of objects
shows them, and they are paid for.

The library puts parts, and takes them back where something goes wrong, but doesn't list what is left. These two
requests are therefore signed here, with the keys of the environment (AWS Signature Version 4,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html). Keys that a machine or a container gives to the
library alone aren't known here: there the bucket's own rule does this work.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import os
import ssl
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from screening.bucket.bucket import SILENCE_SECONDS, Bucket
from screening.bucket.faults import code_of

EMPTY = hashlib.sha256().hexdigest()
MOST_BYTES = 4 << 20
"""Of an answer: a list of a thousand has some 600 kB."""
MOST_PAGES, MOST_LISTED = 100, 1000
REGION = "us-east-1"
"""The one that the library takes where none is set."""


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """Parts that were put, and that no object was made of."""

    key: str
    """Of the object, below the bucket's prefix."""
    upload: str
    begun: float
    """In seconds since 1970, by the store's clock."""


class StoreRefused(OSError):
    """The store's answer isn't what was asked for."""


def has_keys() -> bool:
    """Return whether the environment has the keys by which requests can be signed here."""
    return bool(os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"))


def unfinished(bucket: Bucket) -> Iterator[UnfinishedUpload]:
    """Yield the uploads of parts below the bucket's prefix that are neither ended nor taken back.

    Raises:
        OSError: they can't be listed.
    """
    below = f"{bucket.prefix}/" if bucket.prefix else ""
    marks: dict[str, str] = {}
    for _ in range(MOST_PAGES):
        told = _ask(
            bucket, "GET", "", {"uploads": "", "prefix": below, "max-uploads": str(MOST_LISTED), **marks}
        )
        try:
            root = ET.fromstring(told)  # noqa: S314 -- the store's own answer, of a bounded size
        except ET.ParseError as problem:
            raise StoreRefused("an answer that is no XML") from problem
        for each in root.findall("{*}Upload"):
            key, upload, begun = (
                each.findtext(f"{{*}}{name}", "") for name in ("Key", "UploadId", "Initiated")
            )
            try:
                moment = datetime.fromisoformat(begun).timestamp()
            except ValueError:
                raise StoreRefused("an upload without the time at which it was begun") from None
            yield UnfinishedUpload(key.removeprefix(below), upload, moment)
        if root.findtext("{*}IsTruncated") != "true":
            return
        marks = {
            "key-marker": root.findtext("{*}NextKeyMarker", ""),
            "upload-id-marker": root.findtext("{*}NextUploadIdMarker", ""),
        }


def take_back(bucket: Bucket, one: UnfinishedUpload) -> None:
    """Remove the parts of an upload; one that isn't there is as good.

    Raises:
        OSError: they may still be there.
    """
    key = f"{bucket.prefix}/{one.key}" if bucket.prefix else one.key
    _ask(bucket, "DELETE", key, {"uploadId": one.upload})


def _ask(bucket: Bucket, method: str, key: str, query: Mapping[str, str]) -> bytes:
    """Send a request without a body; return the body of the answer.

    Raises:
        StoreRefused: it is an error.
        OSError: there is none.
    """
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or REGION
    store = urlsplit(os.environ.get("AWS_ENDPOINT_URL") or f"https://s3.{region}.amazonaws.com")
    path = quote(f"{store.path.rstrip('/')}/{bucket.name}/{key}".rstrip("/"), safe="/-_.~")
    asked = "&".join(
        f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(query.items())
    )
    headers = signed(f"{method}\n{path}\n{asked}", store.netloc, region, datetime.now(UTC))
    if store.scheme == "http":
        line = http.client.HTTPConnection(store.netloc, timeout=SILENCE_SECONDS)
    else:
        line = http.client.HTTPSConnection(
            store.netloc, timeout=SILENCE_SECONDS, context=ssl.create_default_context()
        )
    try:
        line.request(method, f"{path}?{asked}", headers=headers)
        answer = line.getresponse()
        body = answer.read(MOST_BYTES + 1)
    except http.client.HTTPException as problem:
        raise StoreRefused(f"no answer: {type(problem).__name__}") from problem
    finally:
        line.close()
    if len(body) > MOST_BYTES:
        raise StoreRefused(f"an answer of more than {MOST_BYTES >> 20} MB")
    if answer.status == HTTPStatus.NOT_FOUND and method == "DELETE":
        return b""
    if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
        raise StoreRefused(f"{answer.status} {code_of(body.decode('utf-8', 'replace'))}")
    return body


def signed(asked: str, host: str, region: str, moment: datetime) -> dict[str, str]:
    """Return the headers of a request without a body, with its signature.

    Args:
        asked: method, path and query, a line each; the last two encoded, the query sorted by name.
        host: with its port.
        region: of the bucket.
        moment: the present time, UTC.
    """
    sent = f"{moment:%Y%m%dT%H%M%SZ}"
    headers = {"host": host, "x-amz-content-sha256": EMPTY, "x-amz-date": sent}
    if token := os.environ.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = token
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    scope = f"{moment:%Y%m%d}/{region}/s3/aws4_request"
    digest = hashlib.sha256(f"{asked}\n{lines}\n{names}\n{EMPTY}".encode()).hexdigest()
    key = f"AWS4{os.environ['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{sent}\n{scope}\n{digest}"):
        key = hmac.digest(key, part.encode(), "sha256")
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}, SignedHeaders={names}, "
        f"Signature={key.hex()}"
    )
    return headers
