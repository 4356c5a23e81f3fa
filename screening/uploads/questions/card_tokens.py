"""The card numbers of an uploaded file: they are replaced by tokens on the disk before anybody is asked about them.

So no card number waits for a user: the file that waits has tokens, and what is asked is whether to go on with it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from screening.cards.tokens import Tokens
from screening.detectors.detector import Detector
from screening.errors import BadFile, CardNumbersFound
from screening.infra.instance_secret import InstanceSecret
from screening.intake import FileKind, TableHead
from screening.intake.batch import FIRST_ROWS
from screening.intake.preview import preview
from screening.intake.tokenizing import ReplacedColumns, replace_card_numbers
from screening.transactions.schema import normalise
from screening.uploads.questions.detector_choice import DetectorChoice
from screening.uploads.upload_folder import UploadFolder

PURPOSE = "card tokens 1"
KEY_ID_BYTES = 4


@lru_cache(maxsize=8)
def tokens_of(instance: Path) -> Tokens:
    """Return what makes the tokens of an instance, once a process: its secret never changes while it runs.

    The secret is made when it is first needed.

    Raises:
        BadSetting: the file that keeps the secret is damaged.
    """
    secret = InstanceSecret(instance)
    return Tokens(secret.derive(PURPOSE), secret.derive(f"name of {PURPOSE}")[:KEY_ID_BYTES].hex())


def replace_in(
    folder: UploadFolder,
    kind: str,
    tokens: Tokens,
    *,
    columns: Collection[str] = (),
    places: Collection[int] = (),
    waiting: Callable[[], None] = lambda: None,
) -> ReplacedColumns | None:
    """Put a file with tokens into the place of a whole upload that holds card numbers; ``None`` where it holds none.

    The new file appears as a whole; then the upload and any copy of it are removed.

    Raises:
        BadFile: it can't be read, or there is no such column.
    """
    draft = folder.path / "tokens.part"
    found = replace_card_numbers(
        folder.input,
        folder.kind(kind),
        draft,
        tokens,
        columns=columns,
        places=places,
        waiting=waiting,
    )
    if found is None:
        return None
    folder.replaced.write_text(json.dumps(asdict(found)), encoding="utf-8")
    draft.replace(folder.tokens)
    folder.drop_replaced()
    return found


def replaced_in(folder: UploadFolder) -> ReplacedColumns | None:
    """Return the record of card numbers that were replaced in a file; ``None`` where nothing was."""
    if not folder.tokens.exists():
        return None
    told = json.loads(folder.replaced.read_text(encoding="utf-8"))
    return ReplacedColumns(tuple(told["columns"]), told["cells"])


def note_of(folder: UploadFolder) -> list[str]:
    """Return the note for the owner of a result."""
    found = replaced_in(folder)
    if found is None:
        return []
    names = ", ".join(found.columns)
    words = f"The card numbers in {names} were replaced by tokens ({found.cells:,} cells), in downloads too."
    return [f"{words} The file as it was sent is not kept."]


def asked(found: ReplacedColumns) -> CardNumbersFound:
    """Return the question to the sender of a file in which card numbers were replaced."""
    problem = CardNumbersFound.of(found.columns)
    problem.what += " They are replaced by tokens here; the file as it was sent is gone."
    return problem


def expected(folder: UploadFolder, choice: DetectorChoice, found: ReplacedColumns) -> bool:
    """Return whether the detector that takes a file learned from tokens in all columns in which some were put.

    Then nobody need be asked: it was decided when the detector was trained.
    """
    header, rows = preview(folder.input, FileKind.CSV, FIRST_ROWS)
    try:
        places = choice(TableHead(header, lambda: rows)).match(header)
    except BadFile:  # it is said when the file is read
        return False
    known = {} if choice.detector.card is None else choice.detector.card.tokens
    names = {normalise(header[places[name]]) for name in known if name in places}
    return {normalise(name) for name in found.columns} <= names


def check_key(detector: Detector, tokens: Tokens) -> None:
    """Raise an error unless the tokens of this instance are those that a detector learned from.

    Raises:
        BadFile: they aren't: every card would be one that was never seen.
    """
    keys = set() if detector.card is None else set(detector.card.tokens.values())
    if keys - {tokens.key_id}:
        raise BadFile(
            f"Detector {detector.name} learned from tokens that were made with another key than this installation's: "
            "every card would seem new.",
            remedy="Let the operator put back the file instance_secret that was there at its training, or train it "
            "again.",
        )
