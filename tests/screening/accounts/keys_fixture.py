"""A folder with accounts and a database, in which API keys are made and checked; also from other processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from screening.accounts.api_keys import ApiKeys
from screening.accounts.key_ring import KeyRing
from screening.accounts.user_store import UserStore
from screening.accounts.users_text import Account, write
from screening.infra.audit.log import AuditLog
from screening.infra.database import Database

HASH = "scrypt:1024:8:1$salt$abcdef"
TEAM = {"ana": "analyst", "mia": "manager", "otto": "auditor", "ada": "admin"}


@dataclass
class Desk:
    """All that is needed to make a key and to check it, on one folder."""

    folder: Path
    clock: Callable[[], float] = time.time
    url: str | None = None
    """Of the database; SQLite in the folder by default."""

    def __post_init__(self) -> None:
        (self.folder / "signals").mkdir(exist_ok=True)
        self.users_file = self.folder / "users.txt"
        if not self.users_file.exists():
            self.hire((), **TEAM)
        self.database = Database(self.url or f"sqlite:///{self.folder / 'a.sqlite3'}")
        self.database.create_tables()
        self.users = UserStore(self.users_file)
        self.keys = ApiKeys(self.database, self.users, self.clock)
        self.ring = self.new_ring()

    def new_ring(self) -> KeyRing:
        return KeyRing(self.database, self.users, self.folder, self.clock)

    def hire(self, disabled: tuple[str, ...] = (), **roles: str) -> None:
        """Write users.txt by hand."""
        lines = [
            write(Account(name, f"{name}@bank.example", HASH, role, active=name not in disabled)) + "\n"
            for name, role in roles.items()
        ]
        self.users_file.write_text("".join(lines), encoding="utf-8")

    def make(self, *scopes: str, owner: str = "ana", name: str = "a program", **more: Any) -> str:
        """Make a key; returns its text."""
        return self.keys.create(name, owner, scopes or ("score",), by="ada", **more)[1]

    def audit(self) -> list[dict[str, Any]]:
        path = AuditLog(self.folder).path
        return [json.loads(line) for line in path.read_text("ascii").splitlines()] if path.exists() else []

    def close(self) -> None:
        self.ring.close()
        self.database.engine.dispose()
