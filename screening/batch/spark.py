"""Open a Spark session: find Spark and Java, send the project's code along, and say plainly what is missing."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import socket
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from screening.cards.masking import masked
from screening.errors import BadFile, NotReady
from screening.settings import ROOT

ROWS_OF_A_BATCH = 32_768
"""Rows that Spark hands to Python at once."""
READING: Mapping[str, str] = {
    # times that have a zone are written in it, and a file's are in UTC
    "spark.sql.session.timeZone": "UTC",
    # City and city are two columns of a file
    "spark.sql.caseSensitive": "true",
    # the value of shop=007/ is 007, as a cell's would be, not 7
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    "spark.sql.execution.arrow.maxRecordsPerBatch": str(ROWS_OF_A_BATCH),
    # a broken file is told of, not left out
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
}
"""Settings that decide what is read: they hold in any session while a job runs."""
CONFIG: Mapping[str, str] = {
    **READING,
    "spark.log.level": "ERROR",
    "spark.ui.showConsoleProgress": "false",
}
LOCAL: Mapping[str, str] = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
}
"""What else holds where all executors are on this machine: nobody else may connect."""
STANDALONE = "spark://"
ADDRESS = re.compile(r"(\[[^]]+\]|[^:,]+):(\d{1,5})")
KNOCK_SECONDS = 5.0
"""Time in which one of the masters of a standalone cluster must take a connection: Spark itself would try for two
minutes."""
NO_SPARK = NotReady(
    "PySpark isn't installed.", remedy="Install it: .venv/bin/python -m pip install -r requirements/batch.txt"
)
NO_JAVA = NotReady(
    "Java isn't installed, and Spark needs it (17 or newer).",
    remedy="Install it: apt-get install openjdk-17-jre-headless, or set JAVA_HOME.",
)


def require_spark() -> None:
    """Check that Spark can be started here.

    Raises:
        NotReady: PySpark or Java is missing.
    """
    if find_spec("pyspark") is None:
        raise NO_SPARK
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java") is None and not (home and (Path(home) / "bin" / "java").exists()):
        raise NO_JAVA


@contextmanager
def session(master: str | None, conf: Mapping[str, str]) -> Iterator[Any]:
    """Give a Spark session, and stop it in the end; one that exists already is used and goes on.

    Args:
        master: Spark's master URL; ``None`` for the one that Spark is configured with, else all cores of this machine.
        conf: further settings of Spark.

    Raises:
        NotReady: PySpark or Java is missing, or there is no such master.
    """
    require_spark()
    with quiet():
        from pyspark.sql import SparkSession

        running = SparkSession.getActiveSession()
        spark = running or _started(master, conf)
    try:
        yield spark
    finally:
        if running is None:
            spark.stop()


@contextmanager
def reading(spark: Any) -> Iterator[None]:
    """See that a session reads as :data:`READING` says, whoever opened it; afterwards it has its own settings again."""
    before = {name: spark.conf.get(name, None) for name in READING}
    for name, value in READING.items():
        spark.conf.set(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                spark.conf.unset(name)
            else:
                spark.conf.set(name, value)


@contextmanager
def quiet() -> Iterator[None]:
    """Leave out a warning about pandas 3, which isn't used: rows go from Spark to NumPy as Arrow batches."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        yield


def _started(master: str | None, conf: Mapping[str, str]) -> Any:
    from py4j.protocol import Py4JError
    from pyspark import SparkConf
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    known = SparkConf()
    url = master or known.get("spark.master", None) or "local[*]"
    builder = SparkSession.builder.appName("fraud screening").master(url)
    here = url.startswith("local")
    if here:
        # executors are processes of this machine, with the packages of this one
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    for name, value in {**CONFIG, **(LOCAL if here else {}), **conf}.items():
        builder = builder.config(name, value)
    require_master(url)
    try:
        return builder.getOrCreate()
    except (Py4JError, PySparkException) as problem:
        raise NotReady(
            f"Spark can't be started with the master {url}: {said_by_java(problem)}",
            remedy="Look at --master, at --conf, and at what Spark has written above.",
        ) from problem


def require_master(url: str) -> None:
    """Check that a master of a standalone cluster can be reached; those of other kinds Spark looks for itself.

    Raises:
        NotReady: none can.
    """
    if not url.startswith(STANDALONE):
        return
    why: object = "it must be spark://HOST:PORT"
    for host, port in ADDRESS.findall(url.removeprefix(STANDALONE)):
        try:
            socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS).close()
        except (OSError, OverflowError) as problem:
            why = problem
        else:
            return
    raise NotReady(
        f"No master of Spark can be reached at {url}: {why}.",
        remedy="See that the cluster runs, and that its address is right.",
    )


def said_by_java(problem: Exception) -> str:
    """Return in one line what an error of Spark says: in a Python process what that one said, else an error of a class
    that Spark names, else the first line.
    """
    text = text_of(problem)
    named = RAISED.findall(text) or NAMED.findall(text)
    # of causes that follow one another the last one says most
    lines = (
        named[-1:] or [line.strip() for line in text.splitlines() if line.strip()] or [type(problem).__name__]
    )
    return masked(STATE.sub("", str(lines[0]))[:MOST_SAID])


def unread_file(problem: Exception) -> BadFile | None:
    """Return the error of a file that Spark can't read, with the cause; ``None`` where the problem is another one."""
    text = text_of(problem)
    file, causes = FILE.search(text), CAUSE.findall(text)
    if file is None or not causes:
        return None
    place = unquote(urlsplit(file[1]).path)
    cause = " ".join(causes[-1].partition("CSV file:")[0].split())
    return BadFile(
        f"{place.rpartition('/')[2]} can't be read: {masked(cause)[:MOST_SAID]}",
        where=place,
        remedy="It may be cut off or damaged; of CSV, all files must have the same header. No output counts.",
    )


def text_of(problem: Exception) -> str:
    """Return all that an error of Spark says, causes and Java's own words first."""
    told = getattr(problem, "java_exception", None)
    return str(problem) if told is None else f"{told.toString()}\n{problem}"


NAMED = re.compile(
    r"^.*?(?:(?:screening|pyspark)\.errors\.[\w.]+: |(?=\[[A-Z][A-Z_.]+\] ))(.+)$", re.MULTILINE
)
RAISED = re.compile(r"^  File \".+\n(?: {4,}.*\n)*(?:screening\.errors\.\w+: )?(?! )(.+)$", re.MULTILINE)
"""The last line of a traceback of Python."""
FILE = re.compile(r"\[FAILED_READ_FILE[.\w]*\] .* reading file (\S+?)\.?\s")
CAUSE = re.compile(r"^Caused by: [\w.$]+: (.+(?:\n(?!\s+at |\s+\.\.\. |Caused by:).+)*)", re.MULTILINE)
STATE = re.compile(r"\s*SQLSTATE: \w+")
MOST_SAID = 400


def java_of(spark: Any) -> Any:
    """Return Java's packages as a session has them: PySpark has no other way to Hadoop's file systems."""
    return spark.sparkContext._jvm  # noqa: SLF001


def hadoop_of(spark: Any) -> Any:
    """Return the settings of a session as Hadoop takes them, for its file systems."""
    return spark._jsparkSession.sessionState().newHadoopConf()  # noqa: SLF001


def send_code(spark: Any) -> None:
    """Send this project's package to the executors, once for a session: they score by the very code of the driver."""
    context = spark.sparkContext
    if context.applicationId in _SENT:
        return
    # executors fetch it when they begin, which may be at any time
    scratch = Path(tempfile.mkdtemp(prefix="batch-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    archive = scratch / "fraud-screening.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for file in sorted((ROOT / "screening").rglob("*.py")):
            out.write(file, file.relative_to(ROOT))
    context.addPyFile(str(archive))
    _SENT.add(context.applicationId)


_SENT: set[str] = set()
"""The applications of Spark that have the code."""
