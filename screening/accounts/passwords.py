"""Passwords: hashed with scrypt at OWASP's floor, and the ones that everybody guesses first are refused."""

from __future__ import annotations

import logging
import os
import re
import secrets
import unicodedata
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from threading import BoundedSemaphore

from werkzeug.security import check_password_hash, generate_password_hash

from screening.errors import ScreeningError

log = logging.getLogger("screening.accounts")

# 32 MiB and three passes: one of the equal settings of OWASP's password storage cheat sheet (2023).
METHOD = "scrypt:32768:8:3"

# Pairs (N, p) at block size r = 8 that the same cheat sheet holds equal: a hash below them is made again.
FLOOR = ((2**17, 1), (2**16, 2), (2**15, 3), (2**14, 5), (2**13, 10))

MAX_LENGTH = 128
PRODUCT_WORDS = ("fraudscreening", "fraud", "screening")
COMMON = Path(__file__).with_name("common_passwords.txt")
RUNS = (
    "01234567890123456789",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "zaq12wsxcde34rfvbgt56yhnmju78ik",
    "qazwsxedcrfvtgbyhnujmikolp",
    "147258369",
    "741852963",
)
READ_AS = tuple(str.maketrans("013457@$!", f"o{one}eastas{one}") for one in "il")
FEW_SIGNS = 3


class WeakPassword(ScreeningError):
    """A new password is too short, too long or too easy to guess."""

    title = "Choose another password"


class Hasher:
    """Makes and checks hashes; every check costs the same, whether there is an account or not.

    ``method`` is one of werkzeug's, :data:`METHOD` by default; tests of other things pass a cheaper one.
    """

    def __init__(self, method: str | None = None) -> None:
        self.method = method = method or METHOD
        self._nobody = f"{method}${secrets.token_hex(8)}${'0' * 128}"
        # 32 MiB each: more at once than there are cores would only add memory
        self._turns = BoundedSemaphore(max(2, os.cpu_count() or 2))

    def hash(self, password: str) -> str:
        """Return a salted hash of the whole password."""
        with self._turns:
            return generate_password_hash(normalised(password), method=self.method)

    def check(self, kept: str | None, password: str, *, whose: str = "") -> bool:
        """Return whether ``password`` fits the hash; ``None`` (nobody) costs one check like any other.

        A hash that can't be read fits nothing, and the log says so.
        """
        # HMAC fills its key up with NULs, so that a NUL at the end would not count
        fits = kept is not None and "\0" not in password and self._check(kept, password, whose)
        if not fits and (kept is None or "\0" in password or kept.partition("$")[0] != self.method):
            self._check(self._nobody, password, whose)
        return fits

    def is_weak(self, kept: str) -> bool:
        """Return whether a hash is below the floor (or unknown) and should be made again at the next chance."""
        method = kept.partition("$")[0]
        if method == self.method:
            return False
        known = re.fullmatch(r"scrypt:(\d{1,9}):(\d{1,4}):(\d{1,4})", method)
        if known is None:
            return True
        n, r, p = (int(part) for part in known.groups())
        return r < 8 or not any(n >= least and p >= passes for least, passes in FLOOR)

    def _check(self, kept: str, password: str, whose: str) -> bool:
        try:
            with self._turns:
                return check_password_hash(kept, normalised(password))
        except (ValueError, TypeError, OverflowError, MemoryError, UnicodeError) as problem:
            log.error("the password hash of %r in users.txt can't be used: %s", whose, type(problem).__name__)
            return False


def check_new(password: str, *, minimum: int, names: Iterable[str] = ()) -> None:
    """Let a new password pass, or say why not.

    Args:
        password: as it was given; spaces and any sign count.
        minimum: fewest characters.
        names: the username and e-mail address, which make a password easy to guess.

    Raises:
        WeakPassword: with what is wrong and what to do.
    """
    if len(password) < minimum:
        raise WeakPassword(
            f"The password has {len(password)} characters; at least {minimum} are needed.",
            where="password",
            remedy="A few words in a row are easy to remember and hard to guess.",
        )
    if len(password) > MAX_LENGTH:
        raise WeakPassword(
            f"The password has {len(password)} characters; at most {MAX_LENGTH} are taken.", where="password"
        )
    if any(sign == "\0" or unicodedata.category(sign) == "Cs" for sign in password):
        raise WeakPassword(
            "The password holds a sign that can't be kept.", where="password", remedy="Type it again."
        )
    if is_common(password):
        raise WeakPassword(
            "This password, or one very like it, is on the lists that guessers try first.",
            where="password",
            remedy="Take a few words that don't belong together.",
        )
    if is_name(password, names):
        raise WeakPassword(
            "The password is a name that anybody can see: yours, or this product's.",
            where="password",
            remedy="Take a few words that don't belong together.",
        )


def same(one: str, other: str) -> bool:
    """Return whether two passwords are the same, however a keyboard sends their signs."""
    return normalised(one) == normalised(other)


def is_common(password: str) -> bool:
    """Return whether a password is in the list or near it, or consists of runs on the keyboard.

    Near: a listed word with capitals, digits for letters, digits and signs around it, or repeated.
    """
    plain = password.casefold()
    forms = {plain, without_ends(plain)}
    forms |= {form.translate(table) for form in forms for table in READ_AS}
    forms |= {letters_and_digits(form) for form in forms}
    forms |= {without_ends(shortest_period(form)) for form in forms}
    if forms & _common():
        return True
    joined = letters_and_digits(plain)
    if len(set(plain)) <= FEW_SIGNS or 0 < len(shortest_period(joined)) <= FEW_SIGNS:
        return True
    single = re.sub(r"(.)\1+", r"\1", joined)
    return any(is_only_runs(form) for form in (joined, single)) or (
        is_only_runs(joined[::2]) and is_only_runs(joined[1::2])
    )


def one_time() -> str:
    """Return a password of 120 random bits to hand over: it is to be changed by its owner."""
    return secrets.token_urlsafe(15)


@cache
def _common() -> frozenset[str]:
    lines = COMMON.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if not line.startswith("#"))


def normalised(password: str) -> str:
    """Return the same characters whether a keyboard sends é as one sign or as two."""
    return unicodedata.normalize("NFC", password)


def without_ends(text: str) -> str:
    """Return the text without the digits and signs at both ends."""
    return re.sub(r"^[\W\d_]+|[\W\d_]+$", "", text)


def is_name(password: str, names: Iterable[str]) -> bool:
    """Return whether nothing but digits and signs is left of a password once a name is taken out of it."""
    parts = (letters_and_digits(part) for name in names for part in (name, name.split("@")[0]))
    plain = letters_and_digits(password)
    words = [word for word in (*parts, *PRODUCT_WORDS) if word and word in plain]
    return any(not re.search(r"[^\W\d_]", plain.replace(word, "")) for word in words)


def letters_and_digits(text: str) -> str:
    """Return the letters and digits of a text, without regard to case."""
    return re.sub(r"[\W_]+", "", text.casefold())


def shortest_period(text: str) -> str:
    """Return the shortest piece that repeats to make ``text``: ``abc`` for ``abcabc``."""
    at = (text + text).find(text, 1) if text else 0
    return text[:at] if 0 < at < len(text) else text


def is_only_runs(text: str) -> bool:
    """Return whether ``text`` is made of nothing but runs of three or more neighbours on a keyboard."""
    rows = [row for run in RUNS for row in (run, run[::-1])]
    at = 0
    while at < len(text):
        reach = 0
        for row in rows:
            length = reach + 1
            while at + length <= len(text) and text[at : at + length] in row:
                reach, length = length, length + 1
        # two neighbours happen in any word
        if reach < 3:
            return bool(at) and len(text) - at < 3 and text.isalnum()  # a short tail adds nothing
        at += reach
    return bool(text)
