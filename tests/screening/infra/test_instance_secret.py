"""Keys of an instance: one for each purpose, the same as long as the instance lives."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from screening.errors import BadSetting
from screening.infra.instance_secret import InstanceSecret, hkdf


def derive(instance: Path) -> bytes:
    return InstanceSecret(instance).derive("seals")


@pytest.mark.security(53)
def test_each_purpose_has_a_key_of_its_own_that_stays(tmp_path: Path) -> None:
    first = derive(tmp_path)
    assert len(first) == 32
    assert derive(tmp_path) == first
    assert InstanceSecret(tmp_path).derive("tokens") != first
    kept = (tmp_path / "instance_secret").read_bytes()
    assert first.hex().encode() not in kept
    (tmp_path / "another").mkdir()
    assert derive(tmp_path / "another") != first


@pytest.mark.security(53)
@pytest.mark.skipif(os.name != "posix", reason="modes as on Unix; run `make test` there")
def test_nobody_else_reads_the_secret(tmp_path: Path) -> None:
    derive(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["instance_secret"]
    assert stat.S_IMODE((tmp_path / "instance_secret").stat().st_mode) == 0o600


def test_keys_are_derived_as_the_standard_says() -> None:
    """RFC 5869, appendix A.1, whose first 32 bytes are those of the first block."""
    made = hkdf(b"\x0b" * 22, bytes(range(13)), bytes(range(0xF0, 0xFA)))
    assert made.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert len(set(pool.map(derive, [tmp_path] * 6, chunksize=1))) == 1


@pytest.mark.parametrize("damage", [b"", b"short", b"\xff" * 64])
def test_a_damaged_secret_is_not_replaced_in_silence(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "instance_secret").write_bytes(damage)
    with pytest.raises(BadSetting, match="instance_secret in the instance folder is damaged"):
        derive(tmp_path)
    assert (tmp_path / "instance_secret").read_bytes() == damage
