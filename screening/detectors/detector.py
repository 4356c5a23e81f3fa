"""A detector: a net, a vectorizer and a card that belong together, loaded, checked, and ready to score."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from screening.detectors.artifacts import fingerprint, read_artefact
from screening.detectors.compilation.cache import CompiledCache, checked, compiled
from screening.detectors.compilation.form import CompiledForm
from screening.detectors.model_card import ColumnProfile, ModelCard, check_contract, check_hashes, read_card
from screening.detectors.runtime import Rows, Scorer
from screening.detectors.vectorizer import NOTHING, History, Inputs, Vectorizer, open_vectorizer
from screening.errors import BadArtefact, BadTransaction, CellProblem
from screening.transactions.schema import ColumnContract, Transactions

log = logging.getLogger(__name__)
FEW = 16
"""Rows."""


@dataclass(frozen=True, slots=True)
class Detector:
    """Scores transactions of one column contract. Immutable, and safe to use from several threads."""

    name: str
    contract: ColumnContract
    fingerprint: str
    """SHA-256, hex, over both files' hashes and the contract."""
    card: ModelCard | None
    warnings: list[str]
    """Warnings for the operator: an identity scaler, assumed columns, a missing card."""
    model_sha256: str
    vectorizer_sha256: str
    typical: dict[str, tuple[float, float]]
    """For each input of the net the range of the middle half of legitimate transactions."""
    vectorizer: Vectorizer = field(repr=False)
    scorer: _Late = field(repr=False)

    def prepare(self) -> None:
        """Run the net's golden rows now, not when it first scores; compile it if that must be, in some ten seconds.

        Raises:
            BadArtefact: it can't be compiled, or gives other probabilities than Keras.
        """
        self.scorer.made()

    def probabilities(self, rows: Transactions | Inputs, history: History = NOTHING) -> NDArray[np.float32]:
        """Return the probability of fraud of each row, float32 (n,), at the prior that the net was calibrated for.

        Args:
            rows: transactions, or the inputs that this detector's vectorizer made of some.
            history: labels and earlier rows, for features that look back; inputs have it in them already.

        Raises:
            BadFile: a column of the contract is missing.
            BadTransaction: a value can't be scored; names row and column.
        """
        result = self.scorer.probabilities(self.vectorizer.matrix(rows, history))
        if len(result) and not _are_probabilities(result):
            before = rows.before if isinstance(rows, Inputs) else 0
            row = before + int(np.argmax(~((result >= 0) & (result <= 1)))) + 1
            raise BadTransaction(
                f"Row {row} is too extreme: the net gives no probability for it.",
                where=f"row {row}",
                remedy="Correct or remove this row; nothing was scored.",
                problems=[CellProblem("is too extreme to be scored", row=row)],
            )
        return result


def _are_probabilities(numbers: NDArray[np.float32]) -> bool:
    # NumPy takes longer to be called than to look
    if len(numbers) <= FEW:
        return all(0 <= number <= 1 for number in numbers.tolist())
    return bool(0 <= numbers.min() <= numbers.max() <= 1)


def load_detector(
    name: str,
    model_file: Path,
    vectorizer_file: Path,
    card_file: Path | None,
    cache: CompiledCache,
    *,
    late: bool = False,
) -> Detector:
    """Load a detector. A net without a shipped form is compiled into ``cache`` the first time: some ten seconds.

    Its golden rows are run when it first scores or is prepared: that imports the runtime, which many processes never
    need.

    Args:
        name: what the detector is called on pages and in the API.
        model_file: the Keras HDF5 net.
        vectorizer_file: the joblib dump with the RobustScaler.
        card_file: the card that ties both together, or ``None`` for files without one.
        cache: where compiled nets are kept.
        late: whether the net's compiled form is looked for, or made, only then, too, so that a page that lists
            detectors needn't wait.

    Raises:
        BadArtefact: a file is missing, damaged or unsafe, or they don't belong together.
    """
    model, dump = read_artefact(model_file), read_artefact(vectorizer_file)
    card = None if card_file is None else read_card(card_file)
    if card is not None:
        check_hashes(card, model, dump)
    vectorizer = open_vectorizer(dump.data, dump.path.name)
    mark = fingerprint(model, dump, vectorizer.contract)
    if card is not None and card_file is not None:
        check_contract(card, vectorizer.contract, mark, card_file)

    def form() -> CompiledForm:
        shipped_sha256 = None if card is None else card.compiled_sha256
        made, width = compiled(model, cache, shipped_sha256), len(vectorizer.inputs)
        if made.net.inputs != width:
            raise BadArtefact(
                f"{model.path.name} takes {made.net.inputs} inputs, but the vectorizer makes {width}.",
                where=str(model.path),
                remedy="Use the model and the vectorizer of one training run.",
            )
        return made

    found = None if late else form()
    scorer = _Late(lambda: Scorer(checked(found or form(), model, cache)), lambda: found or form())
    warnings = list(vectorizer.warnings)
    if card is None:
        warnings.append(
            "There is no card for these files: how good they are isn't known, nor whether they are a pair, and "
            "their probabilities count as uncalibrated: of rows with 0.8, more or fewer than 8 in 10 may be fraud."
        )
    for warning in warnings:
        log.warning("Detector %s: %s", name, warning)
    return Detector(
        name=name,
        contract=vectorizer.contract,
        fingerprint=mark,
        card=card,
        warnings=warnings,
        model_sha256=model.sha256,
        vectorizer_sha256=dump.sha256,
        typical=typical_of(vectorizer, card),
        vectorizer=vectorizer,
        scorer=scorer,
    )


class _Late:
    """A scorer that is made when it is first needed, once.

    What is pickled of it is the compiled form, so that a detector can be sent to processes that have none of its files:
    they run its golden rows before they score, and can't compile it again.
    """

    def __init__(self, make: Callable[[], Scorer], form: Callable[[], CompiledForm]) -> None:
        self._make, self._form = make, form
        self._made: Scorer | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Callable[[CompiledForm], _Late], tuple[CompiledForm]]:
        return _sent, (self._form(),)

    def made(self) -> Scorer:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._make()
        return self._made

    def probabilities(self, rows: Rows) -> NDArray[np.float32]:
        return (self._made or self.made()).probabilities(rows)


def _sent(form: CompiledForm) -> _Late:
    """Return a scorer of a form that another process has sent."""

    def make() -> Scorer:
        problem = form.disagreement()
        if problem is not None:
            raise BadArtefact(
                f"The net can't be scored with here: {problem}.",
                remedy="Install the packages of requirements/batch.txt in all executors, or use other machines.",
            )
        return Scorer(form.net)

    return _Late(make, lambda: form)


def typical_of(vectorizer: Vectorizer, card: ModelCard | None) -> dict[str, tuple[float, float]]:
    """Return quartiles from the card, or centre ± half the scale, which is the distance of the quartiles."""
    known: Mapping[str, ColumnProfile] = {}
    if card is not None:
        known = card.columns if vectorizer.definition is None else card.features
    found = {}
    for name, centre, scale in zip(vectorizer.inputs, vectorizer.centre, vectorizer.scale, strict=True):
        marks = known[name].quantiles if name in known else {}
        low, high = marks.get("q25", centre - scale / 2), marks.get("q75", centre + scale / 2)
        if name in (vectorizer.contract.time, vectorizer.contract.amount):
            low = max(low, 0.0)
        found[name] = (float(low), float(high))
    return found
