"""Folders through Spark beside files: ``python -m benchmarks.batch FIGURE``, each a part of docs/batch.md.

``executors``: two local executors over one. ``growth``: time a row and memory over the number of rows.
``kills``: an executor is killed in the middle of a job, again and again. Each job is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.spark_cluster import HOST, cluster
from screening.settings import ROOT

RESULTS = Path("benchmarks/results/batch.json")
DAYS, DAY = 180, 86_400
EPOCH = 1_700_000_000
FILE_ROWS = 250_000
LOOK_SECONDS = 0.1
EXECUTOR = b"CoarseGrainedExecutorBackend"
PYTHON = b"pyspark.daemon"


def payments(rows: int, folder: Path) -> None:
    """Write payments of half a year in the order of time, and their frauds.

    A customer has 300, at terminals near by, of amounts that are usual for them; one in a hundred payments is at one
    terminal that all use. Of the rows one in 200 is fraud, of five times the usual amount.
    """
    rng = np.random.default_rng(rows)
    customers, terminals = max(rows // 300, 10), max(rows // 150, 10)
    usual = rng.lognormal(3.5, 0.6, customers)
    folder.mkdir(parents=True)
    for number, begin in enumerate(range(0, rows, FILE_ROWS)):
        count = min(FILE_ROWS, rows - begin)
        seconds = np.sort(
            rng.integers(begin * DAYS * DAY // rows, (begin + count) * DAYS * DAY // rows, count)
        )
        customer = rng.integers(0, customers, count)
        near = (customer * 2 + np.rint(rng.normal(0, 5, count)).astype(np.int64)) % terminals
        fraud = rng.random(count) < 0.005
        moment = pa.array(EPOCH + seconds).cast(pa.timestamp("s")).cast(pa.timestamp("us"))
        table = {
            "number": np.arange(begin, begin + count),
            "TX_DATETIME": moment,
            "CUSTOMER_ID": customer,
            "TERMINAL_ID": np.where(rng.random(count) < 0.01, 0, near),
            "TX_AMOUNT": np.round(usual[customer] * rng.lognormal(0, 0.4, count) * (1 + 4 * fraud), 2),
            "TX_FRAUD": fraud.astype(np.int8),
        }
        pq.write_table(pa.table(table), folder / f"{number:05}.parquet")


def cards(rows: int, folder: Path) -> None:
    """Write card rows: those of the sample, each value a little moved."""
    import pandas as pd

    sample = pd.read_csv(ROOT / "transactions_data.csv").drop(columns="Class")
    folder.mkdir(parents=True)
    for number, begin in enumerate(range(0, rows, FILE_ROWS)):
        rng = np.random.default_rng(begin)
        count = min(FILE_ROWS, rows - begin)
        some = sample.iloc[rng.integers(0, len(sample), count)].reset_index(drop=True)
        some = some * rng.normal(1, 0.02, some.shape)
        some.insert(0, "number", np.arange(begin, begin + count))
        pq.write_table(pa.Table.from_pandas(some, preserve_index=False), folder / f"{number:05}.parquet")


MAKE = {"payments": payments, "card": cards}


def made(detector: str, rows: int, scratch: Path) -> Path:
    """Return a folder of rows, which is made once."""
    folder = scratch / f"{detector}-{rows}"
    if not folder.exists():
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        MAKE[detector](rows, part)
        part.rename(folder)
    return folder


def job(source: Path, target: Path, detector: str, master: str, conf: dict[str, str]) -> dict[str, Any]:
    """Do one job in this process: seconds, without the start of Spark, and what was written."""
    from app import create_app
    from screening.batch.job import BatchOrder, run
    from screening.batch.settling import settle
    from screening.batch.spark import session
    from screening.uploads.questions.detector_choice import DetectorChoice
    from screening.web.services import services

    looked = 0.0

    def timed(*given: Any) -> Any:
        nonlocal looked
        begin = time.perf_counter()
        settled = settle(*given)
        looked = time.perf_counter() - begin
        return settled

    with (
        create_app().app_context(),
        session(master, conf) as spark,
        mock.patch("screening.batch.job.settle", timed),
    ):
        detectors = services().detectors
        order = BatchOrder(
            source=str(source),
            target=str(target),
            detector=detectors.get(detector),
            choose=lambda: DetectorChoice(detectors, detector, lambda _header: None),
            threshold=0.8,
        )
        # executors and their Python processes begin
        spark.range(1000).repartition(8).mapInArrow(lambda batches: batches, "id long").count()
        print("ready", flush=True)
        begin = time.perf_counter()
        found = run(spark, order)
        seconds = time.perf_counter() - begin
    counts = {"rows": found.rows, "flagged": found.flagged, "rejected": found.rejected}
    return {"seconds": seconds, "seconds before the first row is scored": looked} | counts


class Job:
    """A job in a process of its own, watched: the processor time and the memory of its executors."""

    def __init__(
        self,
        source: Path,
        target: Path,
        detector: str,
        master: str,
        elsewhere: Sequence[int] = (),
        **conf: str,
    ) -> None:
        """Begin a job; ``elsewhere`` are processes under which it has executors that aren't its own."""
        shutil.rmtree(target, ignore_errors=True)
        order = {
            "source": str(source),
            "target": str(target),
            "detector": detector,
            "master": master,
            "conf": conf,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.batch", "job", json.dumps(order)],
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                # what executors of a local cluster write; by default it would be beside Spark's own files
                "SPARK_WORKER_DIR": str(target.parent / "workers"),
                # of a standalone cluster on this machine
                "PYSPARK_PYTHON": sys.executable,
                "SPARK_LOCAL_IP": HOST,
            },
        )
        assert self.process.stdout is not None
        self._lines = self.process.stdout
        self._roots = {self.process.pid, *elsewhere}
        self.peaks = {"executor": 0, "python": 0}
        self.seconds: dict[int, float] = {}
        self._begun = 0.0
        """Processor time that Spark's start had taken."""
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def wait_until_ready(self) -> None:
        """Return when Spark has started."""
        for line in self._lines:
            if line == "ready\n":
                self._begun = sum(self.seconds.values())
                return
        raise SystemExit("the job ended before it began")

    def result(self) -> dict[str, Any]:
        """Return what the job says of itself, and what it took."""
        last = ""
        for line in self._lines:
            last = line
            if line == "ready\n":
                self._begun = sum(self.seconds.values())
        if self.process.wait():
            raise SystemExit("the job failed")
        self._watch.join()
        peaks = {f"{name} MB": round(size / 2**20) for name, size in self.peaks.items()}
        figures: dict[str, Any] = json.loads(last)
        taken = sum(self.seconds.values())
        cpu = {"cpu seconds": round(taken, 1), "cpu seconds of the job": round(taken - self._begun, 1)}
        return figures | peaks | cpu

    def executors(self) -> list[int]:
        """Return the ids of the executors' processes."""
        return [pid for pid, command in self._below() if EXECUTOR in command]

    def _below(self) -> Iterator[tuple[int, bytes]]:
        """Yield this job's processes and their commands."""
        parents, commands = {}, {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    stat = (entry / "stat").read_text()
                    commands[int(entry.name)] = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
        for pid, command in commands.items():
            at = pid
            while at in parents and at not in self._roots:
                at = parents[at]
            if at in self._roots:
                yield pid, command

    def _look(self) -> None:
        tick, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
        while self.process.poll() is None:
            for pid, command in self._below():
                try:
                    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                # of the process and of its children that have ended
                self.seconds[pid] = (int(stat[11]) + int(stat[12])) / tick
                kind = "python" if PYTHON in command else "executor" if b"java" in command else None
                if kind:
                    self.peaks[kind] = max(self.peaks[kind], int(stat[21]) * page)
            time.sleep(LOOK_SECONDS)


def written(target: Path) -> Any:
    """Return what a job wrote, by number."""
    table = pq.read_table(target, columns=["number", "fraud_probability", "flagged"])
    return table.sort_by("number")


def assert_same(one: Any, other: Any) -> float:
    """Return the largest difference of two outputs, which have the same rows once each."""
    assert one.column("number").equals(other.column("number")), "other rows, or rows twice"
    assert one.column("flagged").equals(other.column("flagged")), "other flags"
    first, second = (each.column("fraud_probability").to_numpy() for each in (one, other))
    return float(np.abs(first.astype(np.float64) - second).max())


def executors(rows: int, tries: int, scratch: Path) -> dict[str, Any]:
    """Return the seconds with one executor and with two, by turns.

    An executor, Java and Python, has one core for itself: as a machine that is added brings its own. The driver may use
    all cores in both cases, so that one executor has the better of it.
    """
    found: dict[str, list[Any]] = {"one": [], "two": []}
    for detector in ("card", "payments"):
        source = made(detector, rows, scratch)
        for _ in range(tries):
            for name, count in (("one", 1), ("two", 2)):
                with cluster(count, scratch / "workers") as there:
                    # else a second executor is started where the first was
                    conf = {"spark.executor.cores": "1", "spark.executor.memory": "2g"}
                    done = Job(source, scratch / "out", detector, there.url, there.roots, **conf).result()
                found[name].append({"detector": detector, "load": os.getloadavg()[1]} | done)
                print(name, done, file=sys.stderr, flush=True)
    return found


def growth(detector: str, sizes: list[int], scratch: Path) -> list[dict[str, Any]]:
    """Return time a row and memory for each number of rows."""
    found = []
    for rows in sizes:
        source, target = made(detector, rows, scratch), scratch / "out"
        done = Job(source, target, detector, "local-cluster[2,1,2048]").result()
        assert done["rows"] == rows
        done |= {
            "detector": detector,
            "load": os.getloadavg()[1],
            "us a row": round(done["seconds"] / rows * 1e6, 2),
        }
        done |= {"cpu us a row": round(done["cpu seconds of the job"] / rows * 1e6, 2)}
        found.append(done)
        print(done, file=sys.stderr, flush=True)
        shutil.rmtree(target)
        shutil.rmtree(source)
    return found


def kills(detector: str, rows: int, times: int, scratch: Path) -> dict[str, Any]:
    """Kill one of two executors in the middle of jobs, and compare what they wrote with what an undisturbed one did."""
    master, source = "local-cluster[2,1,2048]", made(detector, rows, scratch)
    whole = Job(source, scratch / "whole", detector, master)
    usual = whole.result()["seconds"]
    expected = written(scratch / "whole")
    draw = random.Random(7)
    found = []
    for _ in range(times):
        disturbed = Job(source, scratch / "out", detector, master)
        disturbed.wait_until_ready()
        after = draw.uniform(0.2, 0.8) * usual
        time.sleep(after)
        victim = draw.choice(disturbed.executors())
        os.kill(victim, signal.SIGKILL)
        done = disturbed.result()
        difference = assert_same(written(scratch / "out"), expected)
        found.append(
            {"killed after": round(after, 1), "seconds": round(done["seconds"], 1), "difference": difference}
        )
        print(found[-1], file=sys.stderr, flush=True)
    return {"detector": detector, "rows": rows, "undisturbed seconds": round(usual, 1), "kills": found}


def main() -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=__doc__)
    parser.add_argument("figure", choices=("executors", "growth", "kills", "job"))
    parser.add_argument("order", nargs="?", help="of a job")
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000])
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--detector", choices=tuple(MAKE), default="payments")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()) / "batch-bench")
    options = parser.parse_args()
    options.scratch.mkdir(exist_ok=True)
    if options.figure == "job":
        order = json.loads(options.order)
        made_by = job(
            Path(order["source"]), Path(order["target"]), order["detector"], order["master"], order["conf"]
        )
        print(json.dumps(made_by))
        return 0
    rows, scratch = options.rows[0], options.scratch
    found: Any
    if options.figure == "executors":
        found = executors(rows, options.times, scratch)
        for detector in ("card", "payments"):
            one, two = (
                statistics.median(each["seconds"] for each in found[name] if each["detector"] == detector)
                for name in ("one", "two")
            )
            found[f"{detector}: two over one"] = round(one / two, 2)
    elif options.figure == "growth":
        found = growth(options.detector, options.rows, scratch)
    else:
        found = kills(options.detector, rows, options.times, scratch)
    keep(options.figure if options.figure == "executors" else f"{options.figure} {options.detector}", found)
    return 0


def keep(name: str, found: Any) -> None:
    """Print figures, and write them to the file of results under their name."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    RESULTS.write_text(json.dumps(known | {name: found}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    sys.exit(main())
