"""How long a failed login takes, by its cause, over 200 tries each: ``python -m benchmarks.logins``.

Wrong password, unknown name, disabled and locked account must not be told apart by the clock: the medians differ by
less than 5 ms. The causes take turns, so that whatever else the machine does weighs on all of them alike.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from flask.testing import FlaskClient

from screening.accounts.login_throttle import Lockout
from screening.accounts.passwords import Hasher
from screening.accounts.users_text import Account, write
from screening.settings import Settings
from screening.web.app_factory import create_app

TRIES = 200
PASSWORD = "a long river of words 7"
CAUSES = {
    "wrong": ("ana", "another river of words"),
    "unknown": ("zoe", PASSWORD),
    "disabled": ("dora", PASSWORD),
    "locked": ("mia", PASSWORD),
}


def measure(tries: int = TRIES) -> dict[str, float]:
    """Median milliseconds by cause, through the page."""
    with tempfile.TemporaryDirectory() as folder:
        client, lockout = _client(Path(folder))
        for _ in range(10):
            lockout.settle("mia", fits=False)
        milliseconds: dict[str, list[float]] = {cause: [] for cause in CAUSES}
        for _ in range(tries):
            for cause, (name, password) in CAUSES.items():
                token = _token(client)
                begun = time.perf_counter()
                answer = client.post(
                    "/login", data={"csrf_token": token, "username": name, "password": password}
                )
                milliseconds[cause].append((time.perf_counter() - begun) * 1000)
                assert answer.status_code == 401
                if cause == "wrong":
                    lockout.unlock("ana")
        return {cause: statistics.median(taken) for cause, taken in milliseconds.items()}


def _client(folder: Path) -> tuple[FlaskClient, Lockout]:
    kept = Hasher().hash(PASSWORD)
    accounts = [
        Account(name, f"{name}@bank.example", kept, active=name != "dora") for name in ("ana", "mia", "dora")
    ]
    users = folder / "users.txt"
    users.write_text("".join(write(account) + "\n" for account in accounts), encoding="utf-8")
    app = create_app(
        Settings.from_environ({"USERS_FILE": str(users), "INSTANCE_PATH": str(folder / "instance")})
    )
    return app.test_client(), Lockout(app.extensions["screening"].database)


def _token(client: FlaskClient) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/login").get_data(as_text=True))
    assert found is not None
    return found[1]


def main() -> None:
    """Print the medians; fail when they differ by 5 ms or more."""
    medians = measure()
    for cause, median in medians.items():
        print(f"{cause:10} {median:8.2f} ms")
    spread = max(medians.values()) - min(medians.values())
    print(f"{'spread':10} {spread:8.2f} ms over {TRIES} tries each")
    sys.exit(spread >= 5)


if __name__ == "__main__":
    main()
