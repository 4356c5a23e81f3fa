"""A standalone cluster of Spark on this machine, each worker on one core that is its own."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
PATIENCE = 60.0
WORKER_MEMORY = "3g"


@dataclass(frozen=True, slots=True)
class SparkCluster:
    """A cluster that runs: its URL, and the processes under which its executors are."""

    url: str
    roots: tuple[int, ...]


@contextmanager
def cluster(workers: int, folder: Path) -> Iterator[SparkCluster]:
    """Run a master and some workers of one core each, which share no core, and stop them in the end.

    Args:
        workers: how many; the machine has as many cores at least.
        folder: gets what the executors write.
    """
    cores = sorted(os.sched_getaffinity(0))[:workers]
    if len(cores) < workers:
        raise SystemExit(f"{workers} workers need {workers} cores; there are {len(cores)}.")
    port, pages = (_free_port() for _ in range(2))
    url = f"spark://{HOST}:{port}"
    with ExitStack() as held:
        held.enter_context(
            _running(
                ["Master", "--host", HOST, "--port", str(port), "--webui-port", str(pages)], folder, None
            )
        )
        # a worker that is quicker than its master waits for seconds before it asks again
        _wait_for(lambda: _answers(port))
        options = [
            "Worker",
            url,
            "--host",
            HOST,
            "--cores",
            "1",
            "--memory",
            WORKER_MEMORY,
            "--webui-port",
            "0",
        ]
        roots = [
            held.enter_context(_running([*options, "--work-dir", str(folder)], folder, core))
            for core in cores
        ]
        _wait_for(lambda: _registered(pages) == workers)
        yield SparkCluster(url, tuple(roots))


@contextmanager
def _running(words: Sequence[str], folder: Path, core: int | None) -> Iterator[int]:
    """Run a part of Spark with all that it starts, on one core or on all; gives the id of its process."""
    import pyspark

    begin = Path(pyspark.__file__).parent / "bin" / "spark-class"
    pinned = ["taskset", "--cpu-list", str(core)] if core is not None else []
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{words[0].lower()}.log").open("ab") as log:
        process = subprocess.Popen(
            [*pinned, str(begin), f"org.apache.spark.deploy.{words[0].lower()}.{words[0]}", *words[1:]],
            stdout=log,
            stderr=log,
            env={**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": HOST},
            start_new_session=True,
        )
    try:
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(PATIENCE)


def _wait_for(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not reached():
        if time.monotonic() > deadline:
            raise SystemExit("the cluster doesn't start")
        time.sleep(0.1)


def _answers(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex((HOST, port)) == 0


def _registered(port: int) -> int:
    """Return how many workers the master knows to be alive."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/json/", timeout=PATIENCE) as answer:
            return int(json.load(answer)["aliveworkers"])
    except urllib.error.URLError:
        # its pages come after its port
        return 0


def _free_port() -> int:
    with socket.socket() as line:
        line.bind((HOST, 0))
        port: int = line.getsockname()[1]
        return port
