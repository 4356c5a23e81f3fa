"""Compare the size of a file's amounts with those that a detector learned from.

It is looked at by powers of ten: who writes cents where the training had whole units has amounts a hundred times as
large, in every part of the distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from screening.transactions.amount_evidence import AmountEvidence, Sizes
from screening.transactions.amount_units import AmountUnit

if TYPE_CHECKING:
    from screening.detectors.detector import Detector
    from screening.detectors.model_card import ColumnProfile

QUARTILES = {"q25": 0.25, "q50": 0.5, "q75": 0.75}
MUCH = 1.0
"""From here on, in powers of ten, amounts are so far from the training data that the result says so."""
# Above it another unit is as likely as other customers: cents of payments a fifth as large as those of the
# training are so far away.
OTHER = 1.3
FAR = 2.5
"""From here on, below the training data, thousands are nearer than anything else."""
# With fewer rows quartiles alone tell little, so the median must lie beyond nearly all of the training data.
FEW, FEWEST = 20, 3


@dataclass(frozen=True, slots=True)
class Scale:
    """The amounts of a file beside those of a training."""

    power: float
    """By how many powers of ten they are larger; the middle one of the quartiles'."""
    whole: bool
    """Whether all of them are whole numbers."""
    beyond: bool
    """Whether they are ten times as large or small, and not by chance."""
    trained_whole: bool
    """Whether those of the training are whole numbers, too."""

    @property
    def units(self) -> tuple[AmountUnit, ...]:
        """Other units that the amounts may be counted in, the likeliest first; none where they look like those of the
        training.
        """
        if not self.beyond:
            return ()
        if self.power >= OTHER and self.whole:
            near = (AmountUnit.CENTS, AmountUnit.MILS)
        elif -self.power >= FAR or (-self.power >= OTHER and self.trained_whole and not self.whole):
            near = (AmountUnit.HUNDREDS, AmountUnit.THOUSANDS)
        else:
            return ()
        return tuple(sorted(near, key=lambda unit: abs(self.power + unit.digits)))

    @property
    def words(self) -> str:
        """Size of the amounts in words."""
        times = 10 ** abs(self.power)
        rounded = f"{float(f'{times:.1g}'):,.0f}"
        return f"about {rounded} times {'as large as' if self.power > 0 else 'smaller than'} in the training data"


def profile_of(detector: Detector) -> ColumnProfile | None:
    """Return how the amounts of the training lay, if the detector has amounts and a card that tells."""
    name = detector.contract.amount
    return None if detector.card is None or name is None else detector.card.columns.get(name)


def compare(
    known: ColumnProfile | None, amounts: AmountEvidence, unit: AmountUnit = AmountUnit.WHOLE
) -> Scale | None:
    """Compare the amounts of a file, all of them, with those of a training.

    Args:
        known: of the training.
        amounts: as the file writes them.
        unit: in which they are counted.

    Returns:
        ``None`` where one of them isn't known or is nothing but zeros.
    """
    if known is None:
        return None
    found = amounts.sizes.in_unit(unit)
    signed = known.minimum is None or known.minimum < 0
    sizes = found if signed else found.without_signs()
    pairs = [
        (now, known.quantiles[name])
        for name, now in zip(QUARTILES, sizes.quantiles(tuple(QUARTILES.values())).tolist(), strict=True)
        if name in known.quantiles and now * known.quantiles[name] > 0
    ]
    if not pairs:
        return None
    power = float(np.median([np.log10(now / then) for now, then in pairs]))
    return Scale(
        power=power,
        whole=not amounts.parts.total,
        beyond=abs(power) >= MUCH and surely_scaled(known, sizes, power),
        trained_whole=trained_whole(known),
    )


def trained_whole(known: ColumnProfile) -> bool:
    """Tell whether the amounts of a training are whole numbers, as far as its card tells."""
    if known.whole is not None:
        return known.whole == 1.0
    marks = [*known.quantiles.values(), *known.deciles]
    return bool(marks) and all(float(mark).is_integer() for mark in marks)


def surely_scaled(known: ColumnProfile, sizes: Sizes, power: float) -> bool:
    """Tell whether so few amounts would hardly be drawn from those of the training."""
    if sizes.total >= FEW:
        return True
    names = ("q99", "q01") if sizes.total < FEWEST else ("q95", "q05")
    bound = known.quantiles.get(names[power < 0])
    middle = float(sizes.quantiles([0.5])[0])
    return bound is None or (middle > bound if power > 0 else middle < bound)
