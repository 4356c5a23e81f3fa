"""localbucket with what it leaves out: it checks signatures and rights, and lists uploads of parts that nobody ended.

``python -m tests.s3_process FOLDER PORT``. Signatures are checked as Signature Version 4 is published: a wrong secret,
a changed body or a clock that differs by more than a quarter of an hour gets 403 with the store's own code.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import sys
import time
import xml.etree.ElementTree as ET
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import localbucket  # type: ignore[import-untyped]

from tests.s3_accounts import ALL, KEEPING, LATE, SECRET

CODES = {
    "InvalidAccessKeyId": "The access key does not exist in our records.",
    "SignatureDoesNotMatch": "The signature that was calculated does not match the one that was provided.",
    "RequestTimeTooSkewed": "The difference between the request time and the current time is too large.",
    "AccessDenied": "Access Denied",
}
MOST_SKEW = 900.0
SIGNED = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, ?"
    r"SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})"
)
UNSIGNED = "UNSIGNED-PAYLOAD"


class CheckedHandler(localbucket.S3Handler):  # type: ignore[misc]
    """Handles the requests of known access keys."""

    def _dispatch(self, action: Any) -> None:
        try:
            self._account = self._signer()
            if self.command == "DELETE" and self._account == KEEPING and "uploadId" not in self.path:
                raise _denied("AccessDenied")
        except localbucket.S3Error as refused:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._send_error(refused)
            return
        super()._dispatch(action)

    def _signer(self) -> str:
        """Return the access key of a request whose signature is right."""
        found = SIGNED.fullmatch(self.headers.get("Authorization", ""))
        if found is None:
            raise _denied("AccessDenied")
        account, day, region, names, signature = found.groups()
        if account not in {ALL, KEEPING, LATE}:
            raise _denied("InvalidAccessKeyId")
        sent = self.headers["x-amz-date"]
        url = urlsplit(self.path)
        query = sorted(
            (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
            for name, value in parse_qsl(url.query, keep_blank_values=True)
        )
        headers = "".join(f"{name}:{' '.join(self.headers[name].split())}\n" for name in names.split(";"))
        asked = "\n".join(
            (
                self.command,
                url.path,
                "&".join("=".join(pair) for pair in query),
                headers,
                names,
                self.headers["x-amz-content-sha256"],
            )
        )
        scope = f"{day}/{region}/s3/aws4_request"
        told = f"AWS4-HMAC-SHA256\n{sent}\n{scope}\n{hashlib.sha256(asked.encode()).hexdigest()}"
        key = f"AWS4{SECRET}".encode()
        for part in (*scope.split("/"), told):
            key = hmac.digest(key, part.encode(), "sha256")
        if not hmac.compare_digest(key.hex(), signature):
            raise _denied("SignatureDoesNotMatch")
        then = datetime.strptime(sent, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
        if abs(time.time() + (3600 if account == LATE else 0) - then) > MOST_SKEW:
            raise _denied("RequestTimeTooSkewed")
        return str(account)

    def _read_body(self) -> bytes:
        body: bytes = super()._read_body()
        told = self.headers["x-amz-content-sha256"]
        if told != UNSIGNED and hashlib.sha256(body).hexdigest() != told:
            raise localbucket.S3Error(
                HTTPStatus.BAD_REQUEST, "XAmzContentSHA256Mismatch", "The body isn't what was signed."
            )
        return body

    def _get_request(self, bucket: str, key: str) -> None:
        if key or "uploads" not in self.query:
            super()._get_request(bucket, key)
            return
        self._bucket_dir(bucket)
        prefix, after = self.query.get("prefix", ""), self.query.get("key-marker", "")
        most = int(self.query.get("max-uploads", 1000))
        marks = after, self.query.get("upload-id-marker", "~")
        found = []
        for path in (self.data_root / localbucket.UPLOADS_DIR).glob(f"*/{localbucket.UPLOAD_META}"):
            # another thread writes it just now, or removes it
            with suppress(FileNotFoundError, json.JSONDecodeError):
                each, begun = json.loads(path.read_text()), path.stat().st_mtime
                named = each["key"], path.parent.name
                if each["bucket"] == bucket and each["key"].startswith(prefix) and named > marks:
                    found.append((*named, begun))
        found.sort()
        root = ET.Element("ListMultipartUploadsResult", xmlns=localbucket.S3_NAMESPACE)
        localbucket.sub_element(root, "IsTruncated", str(len(found) > most).lower())
        for name, upload, begun in found[:most]:
            item = ET.SubElement(root, "Upload")
            localbucket.sub_element(item, "Key", name)
            localbucket.sub_element(item, "UploadId", upload)
            localbucket.sub_element(item, "Initiated", localbucket.iso_timestamp(begun))
        if len(found) > most:
            localbucket.sub_element(root, "NextKeyMarker", found[most - 1][0])
            localbucket.sub_element(root, "NextUploadIdMarker", found[most - 1][1])
        self._send_xml(root)


def _denied(code: str) -> localbucket.S3Error:
    return localbucket.S3Error(HTTPStatus.FORBIDDEN, code, CODES[code])


def main(folder: str, port: str) -> None:
    """Serve until the process is ended; the buckets are folders."""
    CheckedHandler.data_root = Path(folder).resolve()
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), CheckedHandler)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
