"""The forms of what programs send of whole files, and are told of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from screening.errors import CellProblem
from screening.intake.kinds import READ
from screening.scoring.drift import Drift
from screening.uploads.leakage_findings import Suspect
from screening.web.http.operations import HeaderSpec

LOCATION = HeaderSpec(words="The page of the result.", schema={"type": "string"})
Flag = Literal["", "0", "1"]


class Wishes(Struct, forbid_unknown_fields=True):
    """Options for a file: the fields that come before it."""

    detector: Annotated[str, Meta(description="which one scores; by the file's header if it is left out")] = (
        ""
    )
    set_aside: Annotated[Flag, Meta(description="`1`: score the good rows, and list the bad ones")] = ""
    check: Annotated[Flag, Meta(description="`1`: say what was found, and score nothing yet")] = ""
    tokenize: Annotated[Flag, Meta(description="`1`: put tokens in the place of card numbers")] = ""
    may_map: Annotated[
        Flag,
        Meta(description="`1`: keep a file whose columns nobody knows, for its owner to say which is which"),
    ] = ""
    sample: Annotated[
        str, Meta(description="instead of a file: the detector whose generated sample is screened")
    ] = ""
    back: Annotated[
        Literal["", "dashboard"],
        Meta(description="of a form of the dashboard, to which its sender comes back"),
    ] = ""
    csrf_token: Annotated[str, Meta(description="of a session's form; programs with a key send none")] = ""


class Sent(Wishes, kw_only=True):
    """A file to be screened, after what shall be done with it."""

    file: Annotated[
        str,
        Meta(
            min_length=1,
            description=f"the last field: {READ}, by its name or its media type",
            examples=["TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT\n2026-01-31 17:04:22,6,55,51.40\n"],
            extra_json_schema={"contentMediaType": "application/octet-stream"},
        ),
    ]


class Screened(Struct):
    """Address of a file's screening."""

    id: Annotated[str, Meta(description="for `/results/<id>…`")]
    location: Annotated[str, Meta(description="the page of the result")]
    state: Annotated[
        Literal["receiving", "queued", "running", "done", "checked"],
        Meta(description="`done`: screened. `checked`: looked at, as wished. The others: not yet"),
    ]


class ScreeningState(Struct):
    """Progress of a file's screening."""

    id: str
    detector: Annotated[str | None, Meta(description="which one scores it, or is asked for")]
    rows: int
    flagged: int
    threshold: float
    state: Literal["running", "done", "failed", "checked"]
    progress: Annotated[float, Meta(ge=0, le=1)]
    error: Annotated[
        dict[str, Any] | None,
        Meta(
            description="why it failed: `title`, `status`, `what`, `where`, `remedy`, `problems`, `problem_count`"
        ),
    ]


class Pair(Struct):
    """A row that repeats an earlier one."""

    row: int
    repeats: int


class Duplicates(Struct):
    """Rows that repeat an earlier one in every column that the detector reads."""

    count: int
    first: list[Pair]


class LabelCounts(Struct):
    """Number of rows with each label."""

    column: str
    compared: Annotated[bool, Meta(description="whether there are enough to compare columns with them")]
    fraud: int
    legitimate: int
    blank: int


class CheckReport(Struct):
    """Findings about a file."""

    id: str
    state: Literal["checked"]
    detector: Annotated[str | None, Meta(description="which one would score it")]
    detector_changed: Annotated[bool, Meta(description="whether that one was trained again since")]
    fingerprint: str | None
    rows: int
    set_aside: Annotated[int, Meta(description="rows that can't be scored; `rejected.csv` has them")]
    notes: list[str]
    mapping: Annotated[
        dict[str, str] | None, Meta(description="by the detector's columns: what they are called in the file")
    ]
    problems: Annotated[
        list[CellProblem], Meta(description="what is wrong with these rows, the first thousand")
    ]
    duplicates: Duplicates
    drift: Annotated[
        list[Drift], Meta(description="columns against the training data, the most changed first")
    ]
    training_known: bool
    labels: LabelCounts | None
    suspects: Annotated[list[Suspect], Meta(description="columns that know the label")]
    passed_over: Annotated[int, Meta(description="columns that weren't compared with the label")]


class StillRunning(Struct):
    """A file that isn't read to its end."""

    id: str
    state: Literal["running"]
    progress: Annotated[float, Meta(ge=0, le=1)]


class Consent(Struct):
    """Decision about rows that can't be scored."""

    set_aside: Annotated[Literal["", "0", "1"], Meta(description="`1`: leave them out, and list them")] = ""


class ScreeningQueued(Struct):
    """Address of the screening."""

    id: str
    location: str
    state: Literal["queued"]
