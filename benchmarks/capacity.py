"""What so many transactions need: cores, memory, disk, network and money, by what was measured, and a simulated check.

``python -m benchmarks.capacity`` prints the tables of docs/capacity.md. ``--measure`` first takes the figures of files
again, through a real server (three minutes), and keeps them in ``benchmarks/results/capacity.json``; those of the API
are the quiet ones of ``python -m benchmarks.realtime``, those of Kafka of ``python -m benchmarks.stream``. The
simulation sends a busy minute of each plan through as many processes as the plan has, and a day of it through the
ledger.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.files import card_file
from benchmarks.realtime import processor_seconds
from model.data.simulation import payments
from screening.settings import ROOT
from tests.served import Server

RESULTS, BATCH_RESULTS = Path("benchmarks/results/capacity.json"), Path("benchmarks/results/batch.json")
Floats = NDArray[np.float64]
DAY = 86_400
# Card payments of an hour, from midnight on, as a share of a day's: the busiest hour has 1.7 times the mean.
HOURS = (12, 8, 6, 5, 5, 8, 18, 32, 45, 52, 58, 64, 70, 66, 58, 56, 60, 68, 72, 66, 56, 44, 30, 20)
BUSIEST_SECOND = 1.5
"""How far the busiest minutes of the busiest hour lie above its mean."""
FULL = 0.6
"""The share of a core that is planned with: queues grow fast above it, and one of three hosts may be down."""
SPREAD = 0.78
"""The share of each core that a job over a folder gains: two executors were 1.55 times as fast as one, not twice."""
GROWTH = 1.3
"""Room on disks beyond what is counted: compaction writes before it deletes, backups are staged."""


@dataclass(frozen=True)
class Way:
    """A way for transactions to come in, and what one costs there."""

    name: str
    microseconds: float
    """Of processor time, of all processes together, until the decision is in the ledger."""
    kept: float
    """Bytes in the ledger, once its day is over."""
    moved: float
    """Bytes on the network, there and back: the body (543 and 143) and, of the API, some 750 of heads and answer; of
    Kafka some 350 of keys, headers and answer (of 188 on average), before compression."""
    source: str


@dataclass(frozen=True)
class Prices:
    """Dollars; list prices of large clouds in 2026, rounded. Put in your own."""

    core_month: float = 30.0
    gigabyte_month: float = 0.10
    gigabyte_moved: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What a volume needs."""

    rate: float
    """Transactions a second in the busiest minutes."""
    cores: int
    disk: float
    """Bytes of the ledger for the days kept, with room."""
    network: float
    """Bits a second in the busiest minutes."""
    month: float
    """Dollars."""


def busiest(rows_a_day: float) -> float:
    """Return transactions a second in the busiest minutes of a day."""
    return rows_a_day * max(HOURS) / sum(HOURS) / 3600 * BUSIEST_SECOND


def plan(way: Way, rows_a_day: float, days: int, prices: Prices) -> Plan:
    """Return what transactions of one way need, kept for so many days."""
    busy = busiest(rows_a_day)
    cores = max(math.ceil(busy * way.microseconds / 1e6 / FULL), 1)
    disk = rows_a_day * days * way.kept * GROWTH
    moved = rows_a_day * 30 * way.moved / 1e9
    month = cores * prices.core_month + disk / 1e9 * prices.gigabyte_month + moved * prices.gigabyte_moved
    return Plan(busy, cores, disk, busy * way.moved * 8, month)


def simulated(way: Way, found: Plan, seconds: float = 20.0, seed: int = 0) -> dict[str, float]:
    """Send Poisson arrivals at a plan's busiest rate through its cores, each one transaction at a time.

    Service times are drawn from an exponential distribution with the measured mean: some take five times as long, as
    they do when the disk is slow or garbage is collected. The network isn't in it.

    Returns:
        ``busy``, the mean share of a core, and ``p50`` and ``p99``, milliseconds from arrival to answer.
    """
    draw = np.random.default_rng(seed)
    count = min(int(found.rate * seconds), 400_000)
    arrivals = np.cumsum(draw.exponential(1 / found.rate, count))
    work = draw.exponential(way.microseconds / 1e6, count)
    free = [0.0] * found.cores
    taken = np.empty(count)
    for number, (when, takes) in enumerate(zip(arrivals, work, strict=True)):
        ends = max(when, free[0]) + takes
        heapq.heapreplace(free, ends)
        taken[number] = ends - when
    p50, p99 = np.percentile(taken, [50, 99]) * 1e3
    return {"busy": float(work.sum() / (arrivals[-1] * found.cores)), "p50": float(p50), "p99": float(p99)}


def a_day(rows_a_day: float, seed: int = 0) -> dict[str, float]:
    """Draw a day minute by minute and compare its busiest minutes with what :func:`busiest` says.

    The bursts of an hour are drawn so that one minute in a hundred has 1.5 times the hour's mean or more.
    """
    draw = np.random.default_rng(seed)
    mean = np.repeat(np.array(HOURS) / sum(HOURS) / 60 * rows_a_day, 60)
    spread = math.log(BUSIEST_SECOND) / 2.326  # the 99th percentile of a normal distribution
    minutes = draw.poisson(mean * draw.lognormal(-(spread**2) / 2, spread, len(mean)))
    return {"rows": float(minutes.sum()), "busiest_minutes": float(np.percentile(minutes, 99.9)) / 60}


def measure() -> dict[str, dict[str, float]]:
    """Return microseconds of processor time and bytes a row of files, through a server, until the ledger has them."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "payments.csv"
        payments(customers=5_000, terminals=10_000, days=14, seed=0).to_csv(file, index=False)
        for name, path in (("card", card_file()), ("payments", file)):
            cache = ROOT / "build" / "compiled"
            cache.mkdir(parents=True, exist_ok=True)
            server = Server(Path(folder) / name, cache)
            try:
                server.log_in()
                found[name] = _through(server, path)
            finally:
                server.stop()
                server.close()
    return found


def _through(server: Server, path: Path) -> dict[str, float]:
    content = path.read_bytes()
    rows = content.count(b"\n") - 1
    instance = Path(server.environ["INSTANCE_PATH"])
    time.sleep(8)  # what a start does later is done
    begun = processor_seconds(server.process.pid)
    status, headers, answer = server.upload(content, wait=300)
    if status != 303:
        raise RuntimeError(answer.decode()[:2000])
    server.wait_for(headers["Location"].rsplit("/", 1)[1], 600)
    deadline = time.monotonic() + 120
    while not (segments := list((instance / "ledger").rglob("*.parquet"))):
        if time.monotonic() > deadline:
            raise RuntimeError("the ledger didn't get the file")
        time.sleep(0.2)
    time.sleep(8)
    taken = processor_seconds(server.process.pid) - begun
    return {
        "rows": rows,
        "microseconds": round(taken / rows * 1e6, 2),
        "kept": round(sum(one.stat().st_size for one in segments) / rows, 1),
        "moved": round(len(content) / rows, 1),
    }


def ways(measured: Mapping[str, Mapping[str, float]]) -> list[Way]:
    """Return all ways with their costs."""

    def file(name: str, title: str) -> Way:
        one = measured[name]
        return Way(
            title, one["microseconds"], one["kept"], one["moved"], f"{one['rows']:,.0f} rows, this benchmark"
        )

    return [
        Way("API, card, one a request", 470, 21, 1_300, "benchmarks.realtime, quiet"),
        # with a rule for it, as files always: what features were is kept for trying rules
        Way(
            "API, payments, one a request",
            1_202,
            measured["payments"]["kept"],
            900,
            "benchmarks.realtime, quiet",
        ),
        Way("Kafka, card, one a message", 156, 21, 900, "benchmarks.stream, quiet"),
        Way(
            "Kafka, payments, one a message",
            424,
            measured["payments"]["kept"],
            500,
            "benchmarks.stream, quiet",
        ),
        Way("API, card, 10,000 a request", 8.4 + 17, 21, 700, "benchmarks.long_list, and sealing"),
        file("card", "card file"),
        file("payments", "payments file"),
    ]


def tables(found: list[Way], days: int, prices: Prices) -> str:
    """Return the tables of docs/capacity.md."""
    heads = (
        "way | processor time a row | rows a second and core | ledger, bytes a row | network, bytes a row | from",
        (
            "way | rows a day | busiest, a second | cores | ledger of a year | network, busiest | a month | simulated: "
            "busy; p50, p99"
        ),
    )
    costs = [
        f"{way.name} | {way.microseconds:,.1f} µs | {1e6 / way.microseconds:,.0f} | {way.kept:.0f} | "
        f"{way.moved:,.0f} | {way.source}"
        for way in found
    ]
    plans = []
    for way in found:
        plans += [_line(way, volume, plan(way, volume, days, prices)) for volume in (1e6, 1e8, 1e9)]
        if way.name.endswith("one a request"):
            volume = 10_000 / busiest(1)
            plans.append(_line(way, volume, plan(way, volume, days, prices)))
    return "\n\n".join(
        "\n".join(f"| {line} |" for line in (head, "|".join(["---"] + ["--:"] * head.count(" | ")), *lines))
        for head, lines in zip(heads, (costs, plans), strict=True)
    )


def folders(measured: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return the table of folders on Spark: they come once a day, and are done some time later.

    Args:
        measured: jobs of ``python -m benchmarks.batch growth``, by detector, the largest last.
    """
    lines = [
        "way | rows | processor time a row | core hours | hours on 8 cores, on 64",
        "---|--:|--:|--:|--:",
    ]
    for detector, jobs in measured.items():
        for volume in (1e6, 1e8, 1e9):
            # of as many rows, or the most that were measured
            like = next((job for job in jobs if job["rows"] >= volume), jobs[-1])
            hours = volume * like["cpu us a row"] / 1e6 / 3600
            lines.append(
                f"folder, {detector} | {volume:,.0f} | {like['cpu us a row']:.1f} µs | {hours:,.2g} | "
                f"{hours / 8 / SPREAD:,.2g}, {hours / 64 / SPREAD:,.2g}"
            )
    return "\n".join(f"| {line} |" for line in lines)


def _line(way: Way, volume: float, needed: Plan) -> str:
    tried = simulated(way, needed)
    return (
        f"{way.name} | {volume:,.0f} | {needed.rate:,.0f} | {needed.cores:,} | {needed.disk / 1e9:,.1f} GB | "
        f"{needed.network / 1e6:,.1f} Mbit/s | ${needed.month:,.0f} | {tried['busy']:.0%}; "
        f"{tried['p50']:.2g} ms, {tried['p99']:.2g} ms"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="take the figures of files again")
    parser.add_argument("--days", type=int, default=365, help="days that the ledger keeps")
    parser.add_argument("--core-month", type=float, default=Prices.core_month, help="dollars")
    parser.add_argument("--gigabyte-month", type=float, default=Prices.gigabyte_month, help="dollars")
    parser.add_argument("--gigabyte-moved", type=float, default=Prices.gigabyte_moved, help="dollars")
    options = parser.parse_args()
    if options.measure:
        RESULTS.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    prices = Prices(options.core_month, options.gigabyte_month, options.gigabyte_moved)
    found = ways(json.loads(RESULTS.read_text(encoding="utf-8")))
    print(tables(found, options.days, prices))
    jobs = json.loads(BATCH_RESULTS.read_text(encoding="utf-8"))
    print(f"\n{folders({name: jobs[f'growth {name}'] for name in ('card', 'payments')})}")
    for volume in (1e6, 1e8, 1e9):
        day = a_day(volume)
        print(
            f"\na simulated day of {day['rows']:,.0f} rows: in its busiest minutes {day['busiest_minutes']:,.1f} a "
            f"second, planned with {busiest(volume):,.1f}",
            end="",
        )
    print()


if __name__ == "__main__":
    main()
