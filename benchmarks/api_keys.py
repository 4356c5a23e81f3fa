"""What the check of an API key costs, beside the SHA-256 that it can't do without: ``python -m benchmarks.api_keys``.

A ring of 200 keys with its keeper thread at work, as a web process has it. Microseconds of processor time of the
calling thread, the best of some rounds: what else the machine does makes a round longer, never shorter.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from screening.accounts.api_keys import MOST_BURST, MOST_PER_MINUTE, ApiKeys
from screening.accounts.key_ring import KeyHolder, KeyRing
from screening.accounts.user_store import UserStore
from screening.accounts.users_text import Account, write
from screening.infra.database import Database

KEYS = 200
CALLS = 20_000
ROUNDS = 15


def measure() -> dict[str, float]:
    """Microseconds by what is done."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "signals").mkdir()
        users = folder / "users.txt"
        users.write_text(write(Account("ana", "ana@bank.example", "scrypt:1:1:1$a$b")) + "\n", "utf-8")
        database = Database(f"sqlite:///{folder / 'a.sqlite3'}")
        database.create_tables()
        store = UserStore(users)
        keys = ApiKeys(database, store)
        texts = [
            keys.create(
                f"key {number}",
                "ana",
                ["score"],
                by="bench",
                per_minute=MOST_PER_MINUTE,
                burst=MOST_BURST,
            )[1]
            for number in range(KEYS)
        ]
        ring = KeyRing(database, store, folder)
        good, wrong = f"Bearer {texts[7]}", f"Bearer {texts[7][:-1]}_"
        assert isinstance(ring.check(good, "score", "192.0.2.1"), KeyHolder)
        data = texts[7].encode()
        found = {
            "a key that is let in": _best(lambda: ring.check(good, "score", "192.0.2.1")),
            "SHA-256 of a key alone": _best(lambda: hashlib.sha256(data).digest()),
            "a damaged key": _best(lambda: ring.check(wrong, "score", "192.0.2.1")),
            "a look at users file and database": _best(ring.tend, 200),
        }
        ring.close()
        database.engine.dispose()
        return found


def _best(act: Callable[[], object], calls: int = CALLS) -> float:
    taken = []
    for _ in range(ROUNDS):
        begun = time.thread_time()
        for _ in range(calls):
            act()
        taken.append((time.thread_time() - begun) / calls * 1e6)
    return min(taken)


def main() -> None:
    """Print the figures."""
    for what, microseconds in measure().items():
        print(f"{what:40} {microseconds:8.2f} µs")


if __name__ == "__main__":
    main()
