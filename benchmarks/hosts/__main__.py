"""Two hosts that answer and two that do jobs, killed and cut off under load: ``python -m benchmarks.hosts``.

Each host is a network namespace with processes and mounts of its own (root, ``ip``), behind nginx with
``deploy/nginx/hosts.conf``; they share one PostgreSQL and a folder. Meanwhile transactions are sent to a detector that
looks back, each with an ``Idempotency-Key`` until it is answered, files are uploaded, and a page is asked for. At the
end what was acknowledged is compared with the ledger, the history and the velocity state.

``--roll FOLDER`` begins with the code that is there, and upgrades one host after another instead. ``--redis`` has the
velocity state in Redis, which is killed and emptied in the middle. ``--share`` has the folder on a network file system,
which each host mounts for itself.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks.hosts.beside import KINDS, missing, redis_server, shared
from benchmarks.hosts.comparing import compare
from benchmarks.hosts.events import QUIET_SECONDS, Event, hurt, report, roll
from benchmarks.hosts.load import AGAIN, Pages, Uploads, limit_of_a_key, new_key
from benchmarks.hosts.network import FRONT, HERE, HOSTS, NETWORK, PROXY, Host, begin_nginx, host, network
from benchmarks.kills import Senders
from screening.settings import ROOT
from tests.postgres_server import programs, running

UPLOADERS, UPLOAD_ROWS = 2, 4_000


def main() -> None:
    """Run it and print what was found; the exit status is 1 where something was lost or twice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hosts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="kills, and as many cuts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--roll", type=Path, help="a folder with the code of the version before")
    parser.add_argument("--logs", type=Path, help="a folder that gets the logs of all hosts and of nginx")
    parser.add_argument("--redis", action="store_true", help="have the velocity state in Redis")
    parser.add_argument("--share", choices=KINDS, default=KINDS[0], help="what the folder of all lies on")
    parser.add_argument("--mount", default="", help="further options of the command that mounts it")
    parser.add_argument("--limits", action="store_true", help="see first how much a key's limit lets through")
    chosen = parser.parse_args()
    found, needed = programs(), missing(chosen.share, redis=chosen.redis)
    if os.geteuid() or found is None or needed:
        sys.exit(f"This needs root, and: apt-get install postgresql {' '.join(needed)}")
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        if chosen.logs is not None:
            held.callback(lambda: [shutil.copy(each, chosen.logs) for each in folder.glob("*.log")])
        held.enter_context(network())
        server = held.enter_context(running(found, HERE, [NETWORK]))
        more = {"DATABASE_URL": server.url(server.empty(), HERE)}
        redis = held.enter_context(redis_server(folder)) if chosen.redis else None
        if redis is not None:
            more["STATE_URL"] = redis.url
        share = held.enter_context(shared(chosen.share, folder, chosen.mount))
        hosts = [held.enter_context(host(folder, share, more, each)) for each in HOSTS]
        for each in hosts:
            each.code = chosen.roll or ROOT
            each.start()
        begin_nginx(folder)
        if chosen.limits:
            print(limit_of_a_key(hosts[0]))
        chance = random.Random(chosen.seed)
        wrong = attack(hosts, roll(hosts) if chosen.roll else hurt(hosts, chosen.rounds, chance, redis))
    print("\n".join(wrong) or "nothing acknowledged was lost, nothing is twice")
    sys.exit(bool(wrong))


def attack(hosts: list[Host], events: Iterator[Event]) -> list[str]:
    """Let things happen to hosts under load; return what is wrong afterwards."""
    key = new_key(hosts[0], "till", "60000")
    sample = (ROOT / "transactions_data.csv").read_bytes()
    header, *rows = sample.splitlines(keepends=True)
    body = header + b"".join((rows * (UPLOAD_ROWS // len(rows) + 1))[:UPLOAD_ROWS])
    senders = Senders(FRONT, key, PROXY, AGAIN)
    uploads, pages = Uploads(key, body), Pages()
    threads = [threading.Thread(target=uploads.run) for _ in range(UPLOADERS)]
    threads.append(threading.Thread(target=pages.run))
    senders.start()
    for thread in threads:
        thread.start()
    time.sleep(QUIET_SECONDS)
    happened = list(events)
    time.sleep(QUIET_SECONDS)
    for ending in (uploads.ending, pages.ending):
        ending.set()
    for thread in threads:
        thread.join()
    senders.stop()
    report(happened, senders, uploads, pages)
    return compare(hosts[0], senders, uploads, len(body.splitlines()) - 1)


if __name__ == "__main__":
    main()
