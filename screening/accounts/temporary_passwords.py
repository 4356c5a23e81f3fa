"""Passwords that somebody else than their owner has chosen: they must be changed at the next log-in.

``users.txt`` has no field for that, so it appears in the database, tied to a digest of the password's hash: another
password, set on a page or by hand in the file, is no longer the one that was handed over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from sqlalchemy import String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from screening.accounts.users_text import Account
from screening.infra.database import Base, Database


class TemporaryPassword(Base):
    """The latest one of an account."""

    __tablename__ = "handed_passwords"

    username: Mapped[str] = mapped_column(String(64), primary_key=True)
    """In small letters: case plays no part in names."""
    digest: Mapped[str] = mapped_column(String(64))


class TemporaryPasswords:
    """Knows which accounts still have a password that was handed to them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, account: Account) -> None:
        """Note that the account's present password was chosen by somebody else."""
        with self._database.write() as session:
            session.merge(TemporaryPassword(username=account.username.casefold(), digest=digest_of(account)))

    def forget(self, account: Account) -> None:
        """Note that the account's present password is its owner's."""
        with self._database.write() as session:
            session.execute(
                delete(TemporaryPassword).where(TemporaryPassword.username == account.username.casefold())
            )

    def has(self, account: Account) -> bool:
        """Return whether the account's present password must be changed."""
        with self._database.read() as session:
            kept = session.get(TemporaryPassword, account.username.casefold())
        return kept is not None and kept.digest == digest_of(account)

    def of(self, accounts: Iterable[Account]) -> set[str]:
        """Return the usernames of those whose present password must be changed."""
        with self._database.read() as session:
            kept = {row.username: row.digest for row in session.scalars(select(TemporaryPassword))}
        return {one.username for one in accounts if kept.get(one.username.casefold()) == digest_of(one)}


def digest_of(account: Account) -> str:
    """Return the hash of an account's password hash, which changes with the password."""
    return hashlib.sha256(account.password_hash.encode()).hexdigest()
