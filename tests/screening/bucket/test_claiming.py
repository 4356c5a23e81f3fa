"""A start with a bucket: it must be usable, this instance's, and the one that has the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from screening.bucket.claiming import claim
from screening.bucket.storage import Storage
from screening.errors import BadSetting
from tests.s3_accounts import ALL, KEEPING, LATE, SECRET
from tests.s3_server import Home

MINE, THEIRS = "1" * 32, "2" * 32


def test_an_instance_keeps_to_its_bucket_and_a_bucket_to_its_instance(
    tmp_path: Path, bucket_home: Home
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    claim(first, None, MINE)
    for _ in range(2):
        claim(first, bucket_home.url, MINE)
    with pytest.raises(BadSetting, match=rf"has the files of another instance.*bucket of {MINE}"):
        claim(second, bucket_home.url, THEIRS)
    # on another disk it is known again
    claim(second, bucket_home.url, MINE)
    with pytest.raises(BadSetting, match=r"are in s3://fraud/.*STORAGE_URL isn't set"):
        claim(first, None, MINE)
    with pytest.raises(BadSetting, match=r"STORAGE_URL is s3://fraud/other"):
        claim(first, "s3://fraud/other", MINE)
    assert Storage(first, bucket_home.url).bucket.read("instance_id") == MINE.encode()
    assert set(Storage(first, bucket_home.url).bucket.sizes("")) == {"instance_id"}


@pytest.mark.parametrize(
    ("key", "secret", "told"),
    [
        ("nobody", SECRET, r"doesn't know this access key \(put instance_id: InvalidAccessKeyId\)"),
        (ALL, "wrong", r"secret isn't that of the access key \(put instance_id: SignatureDoesNotMatch\)"),
        (LATE, SECRET, r"its clock and this machine's differ \(put instance_id: RequestTimeTooSkewed\)"),
        (KEEPING, SECRET, r"these credentials may not do that \(delete 1 objects: AccessDenied\)"),
    ],
)
def test_credentials_that_do_not_do_stop_the_start_with_the_reason(
    tmp_path: Path, bucket_home: Home, monkeypatch: pytest.MonkeyPatch, key: str, secret: str, told: str
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    with pytest.raises(BadSetting, match=told) as caught:
        claim(tmp_path, bucket_home.url, MINE)
    assert secret not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("fault", "url", "told"),
    [
        ("denied", "s3://fraud/x", "doesn't accept these credentials"),
        ("unreachable", "s3://fraud/x", "can't be reached"),
        (None, "s3://nothing-here/x", "there is no such bucket"),
    ],
)
def test_a_bucket_that_cannot_be_used_stops_the_start(
    tmp_path: Path, bucket_home: Home, fault: str | None, url: str, told: str
) -> None:
    bucket_home.way.fault = fault
    with pytest.raises(BadSetting, match=told) as caught:
        claim(tmp_path, url, MINE)
    assert "not-a-secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
