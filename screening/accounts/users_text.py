"""The text of users.txt: one account a line, everything else of the file kept as its owner wrote it.

A line is ``username,email,password_hash[,role[,state]]``. Lines are handled as bytes, so that line ends, a byte order
mark and comments in any encoding come back unchanged.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

ROLES = ("analyst", "manager", "auditor", "admin")
STATES = ("active", "waiting", "disabled")
"""``waiting``: signed up, and not let in yet."""
BOM = b"\xef\xbb\xbf"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")
EMAIL = re.compile(
    r"[A-Za-z0-9!$%&'*+/=?^_{|}~-]+(?:\.[A-Za-z0-9!$%&'*+/=?^_{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]"
)
MOST_EMAIL = 254  # RFC 5321, 4.5.3.1.3
_EMAIL_LENIENT = re.compile(r"[^\s@,]+@[^\s@,]+")
_HASH = re.compile(
    r"[a-z][a-z0-9_-]*(?::[^$]*)?\$[^$]*\$.+"  # werkzeug's method$salt$hash
    # a damaged one of a known method
    r"|(?:scrypt|pbkdf2|argon2(?:id|i|d)?|bcrypt|sha1|sha256|sha512|md5)[:$].*"
    r"|\$[0-9a-z-]+\$.*|\{[A-Za-z0-9-]+\}.*"  # crypt(3), LDAP
)
_COMMENT = re.compile(r"\s+#.*")


@dataclass(frozen=True, slots=True)
class Account:
    """An account that may sign in. ``password_hash`` is one string of werkzeug's form."""

    username: str
    email: str
    password_hash: str = field(repr=False)
    role: str = "analyst"
    active: bool = True
    waiting: bool = False
    """Not active because nobody has let it in yet."""

    @property
    def state(self) -> str:
        """One of :data:`STATES`."""
        return "active" if self.active else "waiting" if self.waiting else "disabled"


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its own ending; an account, a problem, or neither (blank, comment)."""

    raw: bytes
    account: Account | None = None
    problem: str | None = None
    bare: bool = False
    """The third field is a password in the clear, as the old project kept it."""
    comment: str = ""

    def with_account(self, account: Account) -> Line:
        """Return the line written again; its comment and its line end stay."""
        ending = self.raw[len(self.raw.rstrip(b"\r\n")) :]
        return Line(write(account, self.comment).encode() + ending, account, comment=self.comment)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that can't be used, by its number counted from 1. It is never quoted: it may hold a password."""

    number: int
    problem: str

    def __str__(self) -> str:
        return f"line {self.number}: {self.problem}"


@dataclass(frozen=True, slots=True)
class UsersText:
    """The whole file."""

    lines: tuple[Line, ...]
    bom: bool = False

    @classmethod
    def parse(cls, data: bytes) -> UsersText:
        """Read the bytes of a file; never fails, a line that can't be used carries its problem."""
        body = data.removeprefix(BOM)
        seen: dict[str, int] = {}
        lines = []
        # split at LF only: a lone CR is no line end for the other readers of this file
        for number, raw in enumerate([part for part in re.split(rb"(?<=\n)", body) if part], start=1):
            line = parse_line(raw)
            if line.account is not None:
                first = seen.setdefault(line.account.username.casefold(), number)
                if first != number:
                    line = Line(raw, problem=f"the username already stands on line {first}")
            lines.append(line)
        return cls(tuple(lines), bom=len(body) != len(data))

    def __bytes__(self) -> bytes:
        return (BOM if self.bom else b"") + b"".join(line.raw for line in self.lines)

    @property
    def accounts(self) -> tuple[Account, ...]:
        """Accounts in the order of the file."""
        return tuple(line.account for line in self.lines if line.account is not None)

    @property
    def problems(self) -> tuple[BadLine, ...]:
        """Lines that can't be used."""
        return tuple(BadLine(n, line.problem) for n, line in enumerate(self.lines, start=1) if line.problem)

    @property
    def is_empty(self) -> bool:
        """Return whether nobody appears in it. A file of bad lines is not empty: its first sign-up must not become
        admin.
        """
        return not any(line.account or line.problem for line in self.lines)

    def find(self, username: str) -> Account | None:
        """Return the account of this name, compared without case."""
        wanted = username.casefold()
        return next((account for account in self.accounts if account.username.casefold() == wanted), None)

    def holds(self, username: str, email: str) -> bool:
        """Return whether the name or the address has an account, compared without case."""
        given = (username.casefold(), email.casefold())
        return any(
            given[0] == one.username.casefold() or given[1] == one.email.casefold() for one in self.accounts
        )

    def adding(self, account: Account) -> UsersText:
        """Return the text with one line more at the end, in the line ends that the file uses."""
        ending = next((b"\r\n" for line in self.lines if line.raw.endswith(b"\r\n")), b"\n")
        lines = list(self.lines)
        if lines and not lines[-1].raw.endswith(b"\n"):
            lines[-1] = replace(lines[-1], raw=lines[-1].raw + ending)
        return replace(self, lines=(*lines, Line(write(account).encode() + ending, account)))

    def replacing(self, lines: Mapping[bytes, Line]) -> UsersText:
        """Return the text with some lines, named by their bytes, in the place of others."""
        return replace(self, lines=tuple(lines.get(line.raw, line) for line in self.lines))

    def changing(self, account: Account) -> UsersText:
        """Return the text with the line of this username written again."""
        old = next(line for line in self.lines if line.account and line.account.username == account.username)
        return self.replacing({old.raw: old.with_account(account)})


def write(account: Account, comment: str = "") -> str:
    """Write one line without its end. Role and state are always written, so that nobody has to know the defaults."""
    return (
        f"{account.username},{account.email},{account.password_hash},{account.role},{account.state}{comment}"
    )


def parse_line(raw: bytes) -> Line:
    """Parse one line of users.txt; of one that can't be read the problem is kept with its text."""
    # else a file of such lines would be one long comment: empty, as it were
    if b"\r" in raw.rstrip(b"\r\n"):
        return Line(raw, problem="lines that end in a carriage return alone; save the file with LF or CRLF")
    try:
        text = raw.decode("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        blank = raw.strip().startswith(b"#")
        return Line(raw) if blank else Line(raw, problem="isn't UTF-8 text")
    if not text.strip() or text.lstrip().startswith("#"):
        return Line(raw)
    found = _COMMENT.search(text)
    fields = [part.strip() for part in (text[: found.start()] if found else text).split(",")]
    problem = problem_of(text, fields)
    if problem:
        return Line(raw, problem=problem)
    bare = len(fields) == 3 and not _HASH.fullmatch(fields[2])  # the old format
    if bare and found:
        return Line(raw, problem="a password in the clear before a '#': it can't be told where it ends")
    role = fields[3].lower() if len(fields) > 3 and fields[3] else "analyst"
    state = fields[4].lower() if len(fields) > 4 else ""
    account = Account(fields[0], fields[1], fields[2], role, state in ("", "active"), state == "waiting")
    return Line(raw, account, bare=bare, comment=found[0] if found else "")


def problem_of(text: str, fields: list[str]) -> str | None:
    """Return the first thing that is wrong with a line."""
    # from the old format to the full one
    if not 3 <= len(fields) <= 5:
        return f"has {len(fields)} fields; 3 to 5 are needed: username,email,password_hash,role,state"
    name, email, password, role, state = (*fields, "", "")[:5]
    checks = (
        (
            any(unicodedata.category(sign) == "Cc" and sign != "\t" for sign in text),
            "holds a control character",
        ),
        (not NAME.fullmatch(name), "the username may have ASCII letters, digits and . _ - only"),
        (not _EMAIL_LENIENT.fullmatch(email), "the second field isn't an e-mail address"),
        (not password, "there is no password"),
        (role and role.lower() not in ROLES, f"the role must be one of {', '.join(ROLES)}"),
        (state and state.lower() not in STATES, f"the state must be one of {', '.join(STATES)}"),
    )
    return next((problem for wrong, problem in checks if wrong), None)
