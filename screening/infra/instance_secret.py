"""The secrets of an instance: each a file that is made once, for the app's own user only, and never shown.

``secret_key`` signs sessions and forms; SECRET_KEY replaces it, and it may change at any time. ``instance_secret`` is
for what must hold for as long as the instance does: keys are derived from it, one for each purpose, so that none of
them tells anything of another. It doesn't depend on SECRET_KEY: the command line has the same keys as the server,
whatever the environment of each.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from screening.errors import BadSetting
from screening.setting_values import SECRET_BYTES
from screening.settings import Settings

SALT = b"fraud-screening instance secret"


class InstanceSecret:
    """Derives keys from ``<instance>/instance_secret``, which is made when a key is first asked for."""

    def __init__(self, instance: Path) -> None:
        self._file = instance / "instance_secret"

    def derive(self, purpose: str) -> bytes:
        """Return the key for a purpose, 32 bytes, the same one each time.

        Raises:
            BadSetting: what is kept is no secret any more.
            OSError: none is kept yet, and none can be.
        """
        secret = kept_secret(
            self._file,
            "Restore it from a backup. If there is none, remove it: compiled nets are made again, and cards get other "
            "tokens than before, so that detectors which learned from tokens must be trained again.",
        )
        return hkdf(secret.encode("ascii"), SALT, purpose.encode())


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """Return the first 32 bytes of HKDF with SHA-256 (RFC 5869)."""
    extracted = hmac.digest(salt, secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)


def secret_key(settings: Settings) -> str:
    """Return the given SECRET_KEY, or one that is generated once and kept below the instance folder.

    Raises:
        BadSetting: what is kept is no key any more.
    """
    return settings.secret_key or kept_secret(
        settings.instance / "secret_key",
        "Remove it: a new one is made, and everybody must log in again.",
    )


def kept_secret(file: Path, remedy: str) -> str:
    """Return the secret in a file, made when there is none (mode 0600).

    Two processes that start at once agree: whoever links its file first wins and the other reads it.

    Args:
        file: where it is.
        remedy: what to do when it is damaged.

    Raises:
        BadSetting: the file holds no secret any more.
        OSError: it can't be made.
    """
    if not file.exists():
        draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(SECRET_BYTES), encoding="ascii")
        try:
            os.link(draft, file)
        except FileExistsError:
            # another process was first; its secret is as good
            pass
        finally:
            draft.unlink()
    kept = file.read_bytes().strip()
    if len(kept) < SECRET_BYTES or not kept.isascii():
        raise BadSetting(
            f"The file {file.name} in the instance folder is damaged: it holds no key of {SECRET_BYTES} bytes.",
            remedy=remedy,
        )
    return kept.decode("ascii")
