"""Open a Spark session: find Spark and Java, send the project's code along, and say plainly what is missing."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from screening.errors import NotReady
from screening.settings import ROOT

ROWS_OF_A_BATCH = 32_768
"""Rows that Spark hands to Python at once."""
CONFIG: Mapping[str, str] = {
    # times that have a zone are written in it, and a file's are in UTC
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.maxRecordsPerBatch": str(ROWS_OF_A_BATCH),
    # a broken file is told of, not left out
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.log.level": "ERROR",
    "spark.ui.showConsoleProgress": "false",
}
LOCAL: Mapping[str, str] = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
}
"""What else holds where all executors are on this machine: nobody else may connect."""
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
    try:
        import pyspark  # noqa: F401
    except ModuleNotFoundError:
        raise NO_SPARK from None
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
        NotReady: PySpark or Java is missing.
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
def quiet() -> Iterator[None]:
    """Leave out a warning about pandas 3, which isn't used: rows go from Spark to NumPy as Arrow batches."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        yield


def _started(master: str | None, conf: Mapping[str, str]) -> Any:
    from pyspark import SparkConf
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
    return builder.getOrCreate()


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
