"""Read a folder of Parquet or CSV files as one table of Spark, its cells as they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from screening.batch.cells import RAW
from screening.batch.scoring import ADDED
from screening.errors import BadFile
from screening.intake.text import dialect
from screening.transactions.schema import normalise

ENDINGS = {"parquet": (".parquet",), "csv": (".csv", ".csv.gz", ".tsv", ".txt")}
WORKING = "__"
"""How the names of columns begin that are made and dropped on the way."""


@dataclass(frozen=True, slots=True)
class InputFolder:
    """The rows of a folder.

    Args:
        table: Spark's; rows of CSV are texts, with ``RAW`` beside them.
        names: the columns that the files have.
    """

    table: Any
    names: list[str]

    def sample(self, rows: int) -> Any:
        """Return some of the first rows as an Arrow table, without those of CSV that are no rows."""
        table = self.table if RAW not in self.table.columns else self.table.where(f"{RAW} IS NULL")
        return table.select(*map(quoted, self.names)).limit(rows).toArrow()


def quoted(name: str) -> str:
    """Return a column's name as Spark takes it, whatever signs are in it."""
    return "`" + name.replace("`", "``") + "`"


def open_folder(spark: Any, path: str) -> InputFolder:
    """Return the rows of a folder, or of one file.

    Raises:
        BadFile: it isn't there, holds no files that are read here or several kinds of them, or has columns that the
            output needs for itself.
    """
    # no job: Spark lists the files when it plans one, and leaves out those whose names begin with _ or a dot
    files = sorted(spark.read.text(path).inputFiles())
    table = spark.read.parquet(path) if _kind(files, path) == "parquet" else _csv(spark, path, files[0])
    names = [name for name in table.columns if name != RAW]
    taken = {normalise(name) for name in (*ADDED, RAW)}
    clash = [name for name in names if normalise(name) in taken or name.startswith(WORKING)]
    if clash:
        raise BadFile(
            f"Column {clash[0]} would be written twice: the output has one of this name of its own.",
            where=path,
            remedy=f"Rename it; these names are taken: {', '.join((*ADDED, RAW))}, and all that begin with __.",
        )
    return InputFolder(table, names)


def _kind(files: Sequence[str], path: str) -> str:
    """Return whether a folder holds Parquet or CSV, by the names of its files."""
    kinds = {_kind_of(name) for name in files}
    if len(kinds) == 1 and None not in kinds:
        return str(kinds.pop())
    known = ", ".join(ending for endings in ENDINGS.values() for ending in endings)
    if not files:
        raise BadFile("The folder holds no files.", where=path, remedy=f"Give a folder of {known} files.")
    odd = next((name for name in files if _kind_of(name) is None), None)
    what = (
        "The folder holds files of both kinds."
        if odd is None
        else f"{odd.rpartition('/')[2]} isn't read here."
    )
    raise BadFile(
        what, where=path, remedy=f"Give a folder of one kind of files: {known}. Move the others away."
    )


def _kind_of(name: str) -> str | None:
    lower = name.lower()
    return next((kind for kind, endings in ENDINGS.items() if lower.endswith(endings)), None)


def _csv(spark: Any, path: str, first: str) -> Any:
    """Return the rows of CSV files that have the same header, as texts."""
    from pyspark.sql.types import StringType, StructField, StructType

    lines = spark.read.text(first).limit(1).collect()
    line = lines[0][0] if lines else ""
    if not line.strip():
        raise BadFile("It is empty, or begins with an empty line.", where=first, remedy=HEADER)
    named = dialect.read_header(line.encode(), dialect.delimiter_of(line.encode()))
    schema = StructType([StructField(name, StringType()) for name in [*named.header, RAW]])
    options = {
        "header": "true",
        "sep": named.delimiter,
        "quote": '"',
        "escape": '"',
        # headers are compared, file by file, and rows that aren't as long as the header are kept whole
        "enforceSchema": "false",
        "mode": "PERMISSIVE",
        "columnNameOfCorruptRecord": RAW,
        # else such rows aren't found where only some columns are asked for
        "columnPruning": "false",
    }
    return spark.read.options(**options).schema(schema).csv(path)


HEADER = "Each file's first line must name the columns, in the same order in all files."
