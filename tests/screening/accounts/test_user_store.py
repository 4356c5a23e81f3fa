"""The store of accounts: who may be added, what is seen at once, and what a full disk does."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest
from werkzeug.security import generate_password_hash

from screening.accounts.passwords import Hasher, WeakPassword
from screening.accounts.user_store import BadAccount, TakenAccount, UserStore
from screening.errors import Conflict, NotFound, NotReady
from screening.infra.atomic_file import FileFull
from screening.settings import ROOT

PASSWORD = "a long river of words 7"
FAST = Hasher("scrypt:1024:8:1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    users = tmp_path / "users.txt"
    users.write_bytes(b"# accounts\n")
    return users


@pytest.fixture
def store(path: Path) -> UserStore:
    return UserStore(path, hasher=FAST)


def add(store: UserStore, name: str, role: str | None = None) -> None:
    store.add(name, f"{name}@bank.example", PASSWORD, role)


def test_the_first_account_is_admin_and_the_next_is_not(store: UserStore) -> None:
    assert store.is_empty()
    add(store, "ada")
    add(store, "bo")
    assert [account.role for account in store.accounts()] == ["admin", "analyst"]
    assert not store.is_empty()


def test_the_shipped_file_has_no_account(tmp_path: Path) -> None:
    """What is committed, that is: whoever runs the app from a clone has accounts of their own in the working copy."""
    shipped = subprocess.run(["git", "show", "HEAD:users.txt"], cwd=ROOT, capture_output=True, check=False)
    if shipped.returncode:
        pytest.skip("not a git clone: `git clone` the project to check what is committed")
    (tmp_path / "users.txt").write_bytes(shipped.stdout)
    assert UserStore(tmp_path / "users.txt").accounts() == ()


def test_name_and_address_are_found_without_case(store: UserStore) -> None:
    add(store, "Ada.Lovelace")
    assert store.get("ada.lovelace") == store.by_email("ADA.lovelace@BANK.example")
    assert store.get("nobody") is None
    assert store.by_email("nobody@bank.example") is None


@pytest.mark.security(5)
@pytest.mark.parametrize(
    "name",
    [
        "",
        "ａｄａ",
        "аda",
        "a\u200bda",
        "a:b",
        "a,b",
        "a\rb",
        "a\nb",
        "a\0b",
        "a\x85b",
        "a\u2028b",
        "a b",
        " ada",
        "ada ",
        "ada\n",
        "a@b",
        "a/b",
        "..",
        ".",
        "-rf",
        "é",
        "١٢",
        "a" * 65,
        "#ada",
    ],
)
def test_a_username_that_could_be_mistaken_or_break_the_file_is_refused(
    store: UserStore, path: Path, name: str
) -> None:
    with pytest.raises(BadAccount, match="username"):
        store.add(name, "ada@bank.example", PASSWORD)
    assert path.read_bytes() == b"# accounts\n"


@pytest.mark.security(5)
@pytest.mark.parametrize("name", ["a", "A1", "ada.lovelace", "x_y-z", "a" * 64, "_ops"])
def test_a_plain_username_is_taken(store: UserStore, name: str) -> None:
    assert store.add(name, "ada@bank.example", PASSWORD).username == name


@pytest.mark.security(5)
def test_a_username_that_differs_in_case_only_is_taken_already(store: UserStore) -> None:
    add(store, "Ada")
    with pytest.raises(TakenAccount):
        store.add("aDA", "other@bank.example", PASSWORD)


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "@bank.example",
        "ada@",
        "ada@bank",
        "a b@bank.example",
        "a,b@bank.example",
        "ada@bank.example\n",
        "ada@bank.example\r\nx",
        "ada@ba\0nk.example",
        "ada@@bank.example",
        "ada@-bank.example",
        "ada@bank..example",
        "ada@bänk.example",
        "a" * 250 + "@x.example",
    ],
)
def test_an_address_that_is_none_or_breaks_the_file_is_refused(
    store: UserStore, path: Path, email: str
) -> None:
    with pytest.raises(BadAccount, match="e-mail"):
        store.add("ada", email, PASSWORD)
    assert path.read_bytes() == b"# accounts\n"


@pytest.mark.security(4)
def test_a_taken_name_and_a_taken_address_are_told_in_the_same_words(store: UserStore) -> None:
    add(store, "ada")
    said = []
    for name, email in (
        ("ada", "new@bank.example"),
        ("new", "ADA@bank.example"),
        ("ada", "ada@bank.example"),
    ):
        with pytest.raises(TakenAccount) as refused:
            store.add(name, email, PASSWORD)
        said.append(str(refused.value))
    assert len(set(said)) == 1


def test_the_shortest_password_is_what_the_settings_say(path: Path) -> None:
    with pytest.raises(WeakPassword, match="at least 20"):
        UserStore(path, hasher=FAST, minimum_length=20).add("ada", "ada@bank.example", "otters at dawn")


@pytest.mark.real_hashes
@pytest.mark.security(1)
def test_a_weak_hash_is_made_anew_when_its_owner_logs_in(path: Path) -> None:
    weak = generate_password_hash(PASSWORD, "pbkdf2:sha256:1000")
    path.write_text(f"# kept\nada,ada@bank.example,{weak},manager,active # also kept\n", encoding="utf-8")
    store = UserStore(path)

    assert store.verify("ada", "something else") is None
    assert weak in path.read_text("utf-8")
    account = store.verify("ada", PASSWORD)

    assert account is not None
    assert account.password_hash.startswith("scrypt:32768:8:3$")
    assert (
        path.read_text("utf-8")
        == f"# kept\nada,ada@bank.example,{account.password_hash},manager,active # also kept\n"
    )
    assert store.verify("ada", PASSWORD) == account


def test_a_disabled_account_does_not_fit_its_own_password(store: UserStore) -> None:
    add(store, "ada")
    add(store, "bo")
    store.set_state("bo", active=False)
    assert store.verify("bo", PASSWORD) is None
    store.set_state("BO", active=True)
    assert store.verify("bo", PASSWORD) is not None


@pytest.mark.security(13)
def test_the_last_admin_stays(store: UserStore) -> None:
    add(store, "ada")
    add(store, "bo", "admin")
    store.set_state("bo", active=False)
    acts: list[Callable[[], object]] = [
        lambda: store.set_role("ada", "analyst"),
        lambda: store.set_state("ada", active=False),
    ]
    for act in acts:
        with pytest.raises(Conflict, match="last administrator"):
            act()
    store.set_state("bo", active=True)
    store.set_role("ada", "analyst")
    with pytest.raises(Conflict):
        store.set_state("bo", active=False)


@pytest.mark.security(13)
def test_of_two_admins_that_depose_each_other_at_once_one_stays(store: UserStore) -> None:
    add(store, "ada")
    add(store, "bo", "admin")

    def depose(name: str) -> bool:
        try:
            store.set_role(name, "analyst")
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(depose, ["ada", "bo"])) == [False, True]


def test_nothing_is_changed_for_somebody_who_is_not_there(store: UserStore) -> None:
    add(store, "ada")
    acts: list[Callable[[], object]] = [
        lambda: store.set_role("bo", "admin"),
        lambda: store.set_state("bo", active=True),
        lambda: store.set_password("bo", PASSWORD),
    ]
    for act in acts:
        with pytest.raises(NotFound):
            act()
    with pytest.raises(BadAccount):
        store.set_role("ada", "emperor")


@pytest.mark.security(17)
def test_a_new_file_is_the_one_that_ships_and_never_takes_the_place_of_another(tmp_path: Path) -> None:
    new = tmp_path / "accounts.txt"
    for _ in range(2):
        UserStore(new).begin()
        assert new.read_text("utf-8") == (ROOT / "users.txt").read_text("utf-8")
        assert stat.S_IMODE(new.stat().st_mode) == 0o600
    new.write_text("# mine\n", encoding="utf-8")
    UserStore(new).begin()
    assert new.read_text("utf-8") == "# mine\n"


@pytest.mark.security(17)
def test_a_new_file_that_cannot_be_made_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    UserStore(tmp_path / "gone" / "accounts.txt").begin()
    assert "accounts.txt can't be made: No such file or directory" in caplog.text


@pytest.mark.security(17)
def test_an_edit_by_hand_is_seen_at_once(store: UserStore, path: Path) -> None:
    add(store, "ada")
    line = path.read_text("utf-8")
    for role in (
        "manager",
        "auditor",
        "analyst",
        "manager",
    ):  # some of the same length, all within one clock tick
        path.write_text(line.replace(",admin,", f",{role},"), encoding="utf-8")
        account = store.get("ada")
        assert account is not None
        assert account.role == role


@pytest.mark.security(17)
def test_a_file_that_an_editor_replaced_is_seen_at_once(store: UserStore, path: Path) -> None:
    add(store, "ada")
    draft = path.with_suffix(".swp")
    draft.write_text(path.read_text("utf-8").replace("ada", "bob"), encoding="utf-8")
    os.utime(draft, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    draft.replace(path)
    assert store.get("ada") is None
    assert store.get("bob") is not None


@pytest.mark.security(17)
def test_a_missing_file_is_not_ready_and_nobody_becomes_admin_by_it(path: Path) -> None:
    store = UserStore(path, hasher=FAST)
    add(store, "ada")
    path.unlink()
    store.prepare()
    for act in (
        store.accounts,
        store.is_empty,
        store.require_ready,
        lambda: add(store, "mallory"),
        lambda: store.verify("ada", PASSWORD),
    ):
        with pytest.raises(NotReady, match="can't be read"):
            act()
    assert not path.exists()


def test_damaged_lines_do_not_make_the_next_one_admin(store: UserStore, path: Path) -> None:
    path.write_bytes(b"\x00" * 300 + b"\n")
    add(store, "mallory")
    assert [account.role for account in store.accounts()] == ["analyst"]


@pytest.mark.security(17)
def test_passwords_in_the_clear_are_hashed_at_the_start(path: Path) -> None:
    path.write_bytes(
        b"\xef\xbb\xbf# old\r\nada,ada@bank.example,hunter2\r\nbo,bo@bank.example,"
        + FAST.hash(PASSWORD).encode()
        + b"\r\n"
    )
    store = UserStore(path, hasher=FAST)
    assert store.verify("ada", "hunter2") is None  # not before it is hashed
    store.prepare()
    data = path.read_bytes()
    assert b"hunter2" not in data
    assert data.startswith(b"\xef\xbb\xbf# old\r\nada,ada@bank.example,scrypt:")
    assert data.count(b"\r\n") == data.count(b"\n") == 3
    assert store.verify("ada", "hunter2") is not None
    assert store.verify("bo", PASSWORD) is not None


@pytest.mark.security(16)
def test_left_over_temporary_files_are_cleared_at_the_start(store: UserStore, path: Path) -> None:
    left = path.with_name(".users.txt.0123456789ab.tmp")
    other = path.with_name(".other.txt.0123456789ab.tmp")
    left.write_text("ada,ada@bank.example,half a li", encoding="utf-8")
    other.touch()
    store.prepare()
    assert not left.exists()
    assert other.exists()


@pytest.mark.security(16)
@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's: run `make test` on Linux")
def test_the_file_is_for_its_owner_only_from_the_start_and_after_each_change(
    store: UserStore, path: Path
) -> None:
    path.chmod(0o644)
    store.prepare()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    add(store, "ada")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.security(16)
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0,
    reason="only root can give a file away: run `sudo make test`",
)
def test_the_owner_stays(store: UserStore, path: Path) -> None:
    os.chown(path, 12345, 23456)
    add(store, "ada")
    assert (path.stat().st_uid, path.stat().st_gid) == (12345, 23456)


@pytest.mark.security(16)
@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX's: run `make test` on Linux")
def test_no_room_for_the_new_file_leaves_the_old_one_byte_for_byte(path: Path) -> None:
    """The kernel's limit of a file's size stops the write in its middle, as a full disk does."""
    for name in ("ada", "bo", "cy"):
        add(UserStore(path, hasher=FAST), name)
    before = path.read_bytes()
    script = textwrap.dedent(f"""
        import resource, signal
        from pathlib import Path
        from screening.infra.atomic_file import FileFull
        from screening.accounts.passwords import Hasher
        from screening.accounts.user_store import UserStore
        store = UserStore(Path({str(path)!r}), hasher=Hasher("scrypt:1024:8:1"))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before)} + 20, resource.RLIM_INFINITY))
        try:
            store.add("dee", "dee@bank.example", "a long river of words 7")
        except FileFull as problem:
            print(problem.status, problem)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        print(store.add("dee", "dee@bank.example", "a long river of words 7").username)
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.startswith("503 There is no room"), done.stderr
    assert done.stdout.endswith("dee\n")
    assert path.read_bytes().startswith(before)
    assert list(path.parent.glob(".users*.tmp")) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 64 KiB, where this machine lets us make one."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)],
        capture_output=True,
        check=False,
        timeout=10,
    )
    if made.returncode:
        pytest.skip("no right to mount a file system here: run `sudo make test`")
    yield place
    subprocess.run(["umount", str(place)], check=True, timeout=10)


@pytest.mark.security(16)
@pytest.mark.skipif(sys.platform == "win32", reason="mounts a tmpfs: run `make test` on Linux")
def test_a_full_disk_refuses_and_recovers_by_itself(tiny_disk: Path) -> None:
    users = tiny_disk / "users.txt"
    users.touch()
    store = UserStore(users, hasher=FAST)
    add(store, "ada")
    ballast = tiny_disk / "ballast"
    _fill(ballast)
    before = users.read_bytes()
    with pytest.raises(FileFull) as refused:
        add(store, "bo")
    assert refused.value.status == 503
    assert users.read_bytes() == before
    assert store.get("ada") is not None
    ballast.unlink()
    add(store, "bo")


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as out, pytest.raises(OSError, match="No space left"):
        _write_for_ever(out)


def _write_for_ever(out: BinaryIO) -> None:
    while True:
        out.write(b"x" * 4096)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="rights are POSIX's: run `make test` on Linux")
def test_a_folder_that_cannot_be_written_is_said_in_words(path: Path) -> None:
    if os.geteuid() == 0:
        missing = UserStore(path.parent / "users.txt", hasher=FAST)
        path.with_name("users.txt.lock").mkdir()
        with pytest.raises(NotReady, match="can't be written"):
            add(missing, "ada")
    else:
        path.parent.chmod(0o500)
        with pytest.raises(NotReady, match="can't be written"):
            add(UserStore(path, hasher=FAST), "ada")
        path.parent.chmod(0o700)
