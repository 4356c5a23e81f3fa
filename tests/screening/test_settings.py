from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from screening.errors import BadSetting
from screening.infra.instance_secret import secret_key
from screening.settings import ROOT, Settings, make_instance


def test_an_empty_environment_gives_the_defaults_of_the_contract() -> None:
    settings = Settings.from_environ({})
    assert (settings.host, settings.port) == ("127.0.0.1", 5000)
    assert settings.users_file == ROOT / "users.txt"
    assert settings.instance == ROOT / "instance"
    assert settings.database_url == f"sqlite:///{ROOT / 'instance' / 'screening.sqlite3'}"
    assert settings.threshold == 0.8
    assert settings.signup_open
    assert settings.password_min_length == 12
    assert settings.max_upload == 1024 * 2**20
    assert settings.cookie_secure is None
    assert settings.trusted_proxies == ()
    assert settings.is_default_pair
    assert settings.keep_screenings_days is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "80a"), ("PORT", "0"), ("PORT", "70000"), ("PORT", "５０００"),
        ("FRAUD_THRESHOLD", "0"), ("FRAUD_THRESHOLD", "1.01"), ("FRAUD_THRESHOLD", "nan"), ("FRAUD_THRESHOLD", "0,8"),
        ("SIGNUP", "maybe"), ("PASSWORD_MIN_LENGTH", "7"), ("PASSWORD_MIN_LENGTH", "-1"), ("MAX_UPLOAD_MB", "0"),
        ("MAX_UPLOAD_MB", "1.5"), ("COOKIE_SECURE", "perhaps"), ("TRUSTED_PROXIES", "10.0.0.0/33"),
        ("TRUSTED_PROXIES", "localhost"), ("WORKERS", "0"), ("JOB_WORKERS", "0"),
        ("KEEP_SCREENINGS_DAYS", "0"), ("KEEP_SCREENINGS_DAYS", "-1"), ("KEEP_SCREENINGS_DAYS", "99999"),
    ],
)  # fmt: skip
def test_a_bad_value_stops_the_start_with_one_line_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(BadSetting) as caught:
        Settings.from_environ({name: value})
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.security(10)
def test_a_short_secret_key_stops_the_start_and_is_not_repeated() -> None:
    with pytest.raises(BadSetting) as caught:
        Settings.from_environ({"SECRET_KEY": "hunter2hunter2"})
    assert "hunter2" not in str(caught.value)
    assert Settings.from_environ({"SECRET_KEY": "x" * 32}).secret_key == "x" * 32


def test_the_secret_key_is_made_once_for_the_apps_own_user_only(tmp_path: Path) -> None:
    settings = Settings(instance=tmp_path)
    first = secret_key(settings)
    assert len(first) == 64
    assert secret_key(settings) == first
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["secret_key"]


def test_processes_that_start_at_once_agree_on_the_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = pool.map(secret_key, [Settings(instance=tmp_path)] * 8, chunksize=1)
    assert len(set(keys)) == 1


@pytest.mark.parametrize("damage", [b"", b"short", b"\xff" * 64])
def test_a_damaged_secret_key_stops_the_start_and_is_not_repeated(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "secret_key").write_bytes(damage)
    with pytest.raises(BadSetting, match="secret_key in the instance folder is damaged") as caught:
        secret_key(Settings(instance=tmp_path))
    assert "short" not in str(caught.value)


@pytest.mark.security(58)
@pytest.mark.skipif(os.name != "posix", reason="modes as on Unix; run `make test` there")
def test_an_instance_folder_that_others_can_read_is_closed_to_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    tmp_path.chmod(0o755)
    make_instance(Settings(instance=tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert "could be read by others" in caplog.text
    caplog.clear()
    make_instance(Settings(instance=tmp_path))
    assert caplog.text == ""


@pytest.mark.security(58)
def test_an_instance_folder_that_cannot_be_closed_to_others_stops_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o755)

    def refused(_path: Path, _mode: int) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "chmod", refused)
    with pytest.raises(BadSetting, match="others on this machine can read"):
        make_instance(Settings(instance=tmp_path))


def test_an_instance_folder_that_cannot_be_stops_the_start_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    make_instance(Settings(instance=tmp_path / "new" / "folder"))
    assert (tmp_path / "new" / "folder").is_dir()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadSetting, match=r"INSTANCE_PATH is .* can't be a folder"):
            make_instance(Settings(instance=path))
