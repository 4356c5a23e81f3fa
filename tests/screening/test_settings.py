from __future__ import annotations

import multiprocessing
import os
import stat
from dataclasses import fields
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
    assert settings.signup == "open"
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


POSTGRESQL = "postgresql://fraud@db.bank.example/fraud"


def test_several_hosts_need_a_database_that_they_share_and_a_name_each() -> None:
    alone = Settings.from_environ({})
    assert (alone.several, alone.role, alone.of_host) == (False, "all", alone.instance)
    shared = {"HOSTS": "several", "DATABASE_URL": POSTGRESQL}
    settings = Settings.from_environ({**shared, "ROLE": "web", "HOST_NAME": "web-1"})
    assert (settings.several, settings.role) == (True, "web")
    assert settings.of_host == settings.instance / "hosts" / "web-1"
    assert Settings.from_environ(shared).host_name
    for environ, named in (
        ({"HOSTS": "several"}, "DATABASE_URL"),
        ({**shared, "ROLE": "half"}, "ROLE"),
        ({"DATABASE_URL": POSTGRESQL, "ROLE": "worker"}, "HOSTS"),
        ({**shared, "HOST_NAME": "../web"}, "HOST_NAME"),
    ):
        with pytest.raises(BadSetting, match=named):
            Settings.from_environ(environ)


def test_all_values_that_are_wrong_are_named_at_once_and_no_secret_is_repeated() -> None:
    with pytest.raises(BadSetting) as caught:
        Settings.from_environ(
            {"PORT": "80a", "SIGNUP": "maybe", "SECRET_KEY": "hunter2", "WORKERS": " 4 ", "IDLE_MINUTES": ""}
        )
    assert str(caught.value) == (
        "PORT is '80a', which must be a whole number from 1 to 65535. "
        "SECRET_KEY must be at least 32 bytes long. "
        "SIGNUP is 'maybe', which must be one of open, approval, closed. "
        "Set PORT to such a value or unset it. Set SECRET_KEY to such a value or unset it. "
        "Set SIGNUP to such a value or unset it."
    )


def test_all_settings_that_contradict_each_other_are_named_at_once() -> None:
    with pytest.raises(BadSetting, match=r"WEBHOOK_URL and .* HOSTS is several, and DATABASE_URL"):
        Settings.from_environ({"WEBHOOK_URL": HOOK, "HOSTS": "several"})


def test_no_secret_is_shown() -> None:
    environ = {
        "SECRET_KEY": "k" * 32,
        "DATABASE_URL": "postgresql://app:hunter2@db.example/bank",
        "STATE_URL": "redis://:hunter3@redis.example",
        "STORAGE_URL": "s3://bank/screening",
        "WEBHOOK_URL": HOOK,
        "WEBHOOK_SECRET": SIGNING,
    }
    shown = repr(Settings.from_environ(environ))
    assert not [each for each in (*environ.values(), "hunter") if each in shown]
    hidden = {each.metadata["variable"].name for each in fields(Settings) if not each.repr}
    assert hidden == set(environ)


def test_what_is_set_to_its_default_is_what_is_not_set() -> None:
    """As docs/operations.md writes the defaults."""
    given = {
        "MAX_UPLOAD_MB": "1024", "STORED_MB_PER_ACCOUNT": "20480", "FOUR_EYES": "off", "DRIFT_WINDOWS": "7, 1",
        "REVIEW_SAMPLE": "0.005", "SIGNUP": "OPEN", "FRAUD_THRESHOLD": "0.8", "PORT": "5000", "HOSTS": "one",
    }  # fmt: skip
    assert Settings.from_environ(given) == Settings.from_environ({})


HOOK, SIGNING = "https://hooks.bank.example/a?b=c", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    "url",
    [HOOK, "http://127.0.0.1:9000/a", "http://localhost/", "http://[::1]:9/a", "https://10.0.0.7:8443/a"],
)
def test_a_webhook_goes_out_by_https_or_stays_on_this_machine(url: str) -> None:
    settings = Settings.from_environ({"WEBHOOK_URL": url, "WEBHOOK_SECRET": SIGNING})
    assert (settings.webhook_url, settings.webhook_secret) == (url, SIGNING)
    assert url not in repr(settings)
    assert SIGNING not in repr(settings)


@pytest.mark.security(10)
@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("http://hooks.bank.example/a", SIGNING), ("http://127.0.0.1.bank.example/", SIGNING),
        ("https://ana:pw@bank.example/", SIGNING), ("ftp://bank.example/", SIGNING), ("https:///a", SIGNING),
        ("https://bank.example:99999/", SIGNING), ("https://bank.example/a b", SIGNING),
        (HOOK, "short"), (HOOK, "whsec_YWJj"), (HOOK, ""), ("", SIGNING),
    ],
)  # fmt: skip
def test_a_bad_webhook_stops_the_start_and_is_not_repeated(url: str, secret: str) -> None:
    with pytest.raises(BadSetting) as caught:
        Settings.from_environ({"WEBHOOK_URL": url, "WEBHOOK_SECRET": secret})
    assert "WEBHOOK_" in str(caught.value)
    assert not url or url not in str(caught.value)
    assert not secret or secret not in str(caught.value)


def test_a_bucket_is_named_without_credentials() -> None:
    for url in ("s3://bank", "s3://bank.fraud-1/a/b_c.d"):
        assert Settings.from_environ({"STORAGE_URL": f"{url}/"}).storage_url == url
    assert Settings.from_environ({}).storage_url is None
    for bad in (
        "s3://key:hunter2@bank/a",
        "https://bank",
        "s3://",
        "s3://Bank",
        "s3://bank/a b",
        "s3://bank//a",
    ):
        with pytest.raises(BadSetting, match="STORAGE_URL") as caught:
            Settings.from_environ({"STORAGE_URL": bad})
        assert "hunter2" not in str(caught.value)


def test_limits_of_alerts_are_changed_and_rules_turned_off_by_name() -> None:
    found = Settings.from_environ({"ALERTS": "latency=0.5, silence=off"}).alerts
    usual = {
        "flag_rate": 3,
        "errors": 0.05,
        "disk": 1,
        "backlog": 15,
        "drift": 0.2,
        "ledger": 24,
        "bucket": 5,
        "stream": 10_000,
    }
    assert found == {**usual, "latency": 0.5}
    for bad in ("latency", "latency=-1", "latency=nan", "flag_rate=0.5", "speed=1", "latency=1;disk=2"):
        with pytest.raises(BadSetting, match="ALERTS"):
            Settings.from_environ({"ALERTS": bad})


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
