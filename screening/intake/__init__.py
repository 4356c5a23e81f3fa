"""Files of transactions in, checked batches of numbers out: nothing shifted, nothing dropped in silence.

``identify`` tells what a file is, ``open_transactions`` reads it, and ``read_records``, ``header_of`` and
``append_columns`` give its rows back as they were.
"""

from screening.intake.batch import Batch, CellWords, ReadLimits, TableHead
from screening.intake.forms import NOTHING_SAID, Answers
from screening.intake.kinds import FileKind, identify
from screening.intake.opening import look_over, open_transactions, settled
from screening.intake.output import all_records, append_columns, find_rows, header_of, read_records
from screening.intake.text.survey import Forms, Unsettled

__all__ = [
    "NOTHING_SAID",
    "Answers",
    "Batch",
    "CellWords",
    "FileKind",
    "Forms",
    "ReadLimits",
    "TableHead",
    "Unsettled",
    "all_records",
    "append_columns",
    "find_rows",
    "header_of",
    "identify",
    "look_over",
    "open_transactions",
    "read_records",
    "settled",
]
