"""Accounts, kept in ``users.txt``: read again when the file changes, written by one process at a time."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from screening.accounts import passwords
from screening.accounts.users_file import UsersFile
from screening.accounts.users_text import EMAIL, MOST_EMAIL, NAME, ROLES, Account, BadLine, Line, UsersText
from screening.errors import Conflict, NotFound, NotReady, ScreeningError, StorageFull

__all__ = ["ROLES", "Account", "BadAccount", "BadLine", "TakenAccount", "UserStore"]

log = logging.getLogger("screening.accounts")
HEAD = """\
# Accounts of this screening, one a line:  username,email,password_hash[,role[,state]]
# Roles: analyst, manager, auditor, admin. States: active, waiting, disabled.
# Edits by hand take effect at once; comments, blank lines and the order of lines are kept.
# The first account that signs up while there is none becomes admin.
"""


class BadAccount(ScreeningError):
    """A username, e-mail address or role that isn't taken."""

    title = "This account can't be made"


class TakenAccount(Conflict):
    """The username or the address has an account; which of them is not said."""

    title = "This account can't be made"


class UserStore:
    """All accounts. Every call looks whether the file has changed, so that edits by hand take effect at once.

    Args:
        path: the users file; it must exist (an absent file is a fault, an empty one is a beginning).
        hasher: makes and checks password hashes.
        minimum_length: fewest characters of a new password.
    """

    def __init__(
        self, path: Path, *, hasher: passwords.Hasher | None = None, minimum_length: int = 12
    ) -> None:
        self._file = UsersFile(path)
        self.hasher = hasher or passwords.Hasher()
        self.minimum_length = minimum_length

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self._file.path

    def begin(self) -> None:
        """Make the file of a new instance, without an account, unless it is there.

        A file that can't be made is logged, as one that can't be read is.
        """
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return
        except OSError as problem:
            log.error("%s can't be made: %s", self.path.name, problem.strerror)
            return
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(HEAD)

    def prepare(self) -> None:
        """Prepare the file at the start: clear what a killed writer left, and hash passwords that appear in the clear.

        A file that is missing or can't be written is logged, not raised: the app starts and says it isn't ready.
        """
        try:
            bare = [line for line in self._file.read().text.lines if line.bare and line.account is not None]
            self._file.tidy()
            if bare:
                hashed = {line.raw: self._hashed(line) for line in bare}
                self._file.change(lambda text: text.replacing(hashed))
                log.warning("%d passwords in the clear were hashed in %s", len(hashed), self.path.name)
        except (NotReady, StorageFull) as problem:
            log.error("%s", problem)

    def _hashed(self, line: Line) -> Line:
        if line.account is None:
            return line
        password_hash = self.hasher.hash(line.account.password_hash)
        return line.with_account(replace(line.account, password_hash=password_hash))

    def require_ready(self) -> None:
        """Let pass when the file can be read.

        Raises:
            NotReady: the file is missing or can't be read.
        """
        self._file.read()

    def accounts(self) -> tuple[Account, ...]:
        """Return accounts in the order of the file.

        Raises:
            NotReady: the file is missing or can't be read.
        """
        return self._file.read().text.accounts

    def by_name(self) -> Mapping[str, Account]:
        """Return the accounts by their names in small letters: the same object until the file changes.

        Raises:
            NotReady: the file is missing or can't be read.
        """
        return self._file.read().by_name

    def problems(self) -> tuple[BadLine, ...]:
        """Return lines of the file that can't be used."""
        return self._file.read().text.problems

    def is_empty(self) -> bool:
        """Return whether the next account to sign up is the first one, and so becomes admin."""
        return self._file.read().text.is_empty

    def get(self, username: str) -> Account | None:
        """Return the account of this name, compared without case."""
        return self._file.read().by_name.get(username.casefold())

    def by_email(self, email: str) -> Account | None:
        """Return the first account with this address, compared without case."""
        wanted = email.casefold()
        return next((account for account in self.accounts() if account.email.casefold() == wanted), None)

    def add(
        self, username: str, email: str, password: str, role: str | None = None, *, waits: bool = False
    ) -> Account:
        """Make an account; when this returns, it is on the disk.

        Args:
            username: ASCII letters, digits and ``._-``, at most 64.
            email: an address with a domain.
            password: at least ``minimum_length`` and at most 128 characters, not a common one.
            role: one of ``ROLES``; by default admin for the very first account, analyst for the others.
            waits: whether an admin must let it in; the very first account waits for nobody.

        Raises:
            BadAccount, WeakPassword: what was given isn't taken.
            TakenAccount: the name or the address has an account.
            NotReady, FileFull: nothing was written.
        """
        self.check_new(username, email, password, role)
        self._refuse_taken(self._file.read().text, username, email)
        password_hash = self.hasher.hash(password)
        made: list[Account] = []

        def adding(text: UsersText) -> UsersText:
            self._refuse_taken(text, username, email)
            given = role or ("admin" if text.is_empty else "analyst")
            waiting = waits and not text.is_empty
            made.append(Account(username, email, password_hash, given, not waiting, waiting))
            return text.adding(made[0])

        self._file.change(adding)
        return made[0]

    def check(self, username: str, password: str) -> Account | None:
        """Return the account when name and password fit and it is active; nothing is changed.

        Nobody, a wrong password, a disabled account and a damaged hash give ``None`` and take the same time.
        """
        account = self.get(username)
        # nobody has a longer one: no work for longer ones
        password = password[: passwords.MAX_LENGTH + 1]
        kept = account.password_hash if account is not None else None
        fits = self.hasher.check(kept, password, whose=username)
        return account if account is not None and fits and account.active else None

    def verify(self, username: str, password: str) -> Account | None:
        """Check as :meth:`check` does, for a log-in: a weak hash is made again, which ends the account's earlier
        sessions.
        """
        account = self.check(username, password)
        if account is not None and self.hasher.is_weak(account.password_hash):
            return self._upgraded(account, password)
        return account

    def set_password(self, username: str, password: str) -> Account:
        """Change a password; its account's sessions end, as they are tied to the hash.

        Raises:
            NotFound: there is no such account.
            WeakPassword: the new password isn't taken.
        """
        account = self.get(username)
        if account is None:
            raise NotFound("There is no such account.")
        passwords.check_new(password, minimum=self.minimum_length, names=(account.username, account.email))
        password_hash = self.hasher.hash(password)
        return self._change(username, lambda kept: replace(kept, password_hash=password_hash))

    def set_role(self, username: str, role: str) -> Account:
        """Change a role.

        Raises:
            NotFound: there is no such account.
            BadAccount: there is no such role.
            Conflict: nobody would be admin any more.
        """
        check_role(role)
        return self._change(username, lambda kept: replace(kept, role=role))

    def set_state(self, username: str, *, active: bool) -> Account:
        """Open or close an account.

        Raises:
            NotFound: there is no such account.
            Conflict: nobody would be admin any more.
        """
        return self._change(username, lambda kept: replace(kept, active=active, waiting=False))

    def check_new(self, username: str, email: str, password: str, role: str | None = None) -> None:
        """Let pass what an account could be made of, whether it is taken or not.

        Raises:
            BadAccount, WeakPassword: with what is wrong and what to do.
        """
        if not NAME.fullmatch(username):
            raise BadAccount(
                "This username can't be used.",
                where="username",
                remedy="Take 1 to 64 letters (A to Z), digits and . _ - beginning with a letter, a digit or _.",
            )
        if len(email) > MOST_EMAIL or not EMAIL.fullmatch(email):
            raise BadAccount("This isn't an e-mail address.", "email", "Example: name@bank.example")
        if role is not None:
            check_role(role)
        passwords.check_new(password, minimum=self.minimum_length, names=(username, email))

    def _refuse_taken(self, text: UsersText, username: str, email: str) -> None:
        if text.holds(username, email):
            raise TakenAccount(
                "An account can't be made with this username and address.",
                remedy="If you have an account, log in; otherwise choose another username or address.",
            )

    def _upgraded(self, account: Account, password: str) -> Account:
        better = self.hasher.hash(password)
        try:
            return self._change(
                account.username,
                lambda kept: replace(kept, password_hash=better) if kept == account else kept,
            )
        except (NotReady, StorageFull) as problem:
            log.warning("the weak hash of %s was not made again: %s", account.username, problem)
            return account

    def _change(self, username: str, change: Callable[[Account], Account]) -> Account:
        changed: list[Account] = []

        def changing(text: UsersText) -> UsersText:
            before = text.find(username)
            if before is None:
                raise NotFound("There is no such account.")
            changed.append(change(before))
            after = text.changing(changed[0])
            if count_admins(text) and not count_admins(after):
                raise Conflict(
                    f"{before.username} is the last administrator.",
                    remedy="Make somebody else administrator first.",
                )
            return text if changed[0] == before else after

        self._file.change(changing)
        return changed[0]


def count_admins(text: UsersText) -> int:
    """Return how many active accounts have the role of an admin."""
    return sum(account.active and account.role == "admin" for account in text.accounts)


def check_role(role: str) -> None:
    """Raise :class:`BadAccount` for a role that there isn't."""
    if role not in ROLES:
        raise BadAccount("There is no such role.", where="role", remedy=f"Roles: {', '.join(ROLES)}.")
