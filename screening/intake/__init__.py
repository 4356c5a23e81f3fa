"""Files of transactions in, checked batches of numbers out: nothing shifted, nothing dropped in silence.

``identify`` tells what a file is, ``open_transactions`` reads it, and ``read_records``, ``header_of`` and
``append_columns`` give its rows back as they were.
"""

from screening.intake.batch import Batch, Limits
from screening.intake.kinds import Kind, identify
from screening.intake.opening import open_transactions
from screening.intake.output import append_columns, header_of, read_records

__all__ = [
    "Batch",
    "Kind",
    "Limits",
    "append_columns",
    "header_of",
    "identify",
    "open_transactions",
    "read_records",
]
