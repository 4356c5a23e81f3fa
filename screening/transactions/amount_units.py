"""Units of a file's amounts as a detector sees them: its own unit, or one that is some powers of ten away.

Payment systems write whole cents (``1250`` for 12.50, as Stripe and ISO 8583 do), reports write thousands.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class AmountUnit(StrEnum):
    """Unit of a file's amounts, relative to the detector's; the values are those of the option ``--unit``."""

    WHOLE = "whole"
    """The unit of the detector's training data."""
    CENTS = "cents"
    """A hundredth of it, as minor units of most currencies are."""
    MILS = "mils"
    """A thousandth of it, as of the Kuwaiti and other dinars."""
    HUNDREDS = "hundreds"
    """A hundred of it: the detector learned from cents."""
    THOUSANDS = "thousands"
    """A thousand of it: the file is in thousands, or the detector learned from mils."""

    @property
    def digits(self) -> int:
        """Number of places that the decimal mark moves to the right."""
        return _DIGITS[self]

    @property
    def words(self) -> str:
        """Meaning of an amount in a file of this unit."""
        return _WORDS[self]

    def of(self, number: float) -> float:
        """Return the amount in the detector's unit: the float that its decimal digits are nearest to."""
        return _moved(number, self.digits)

    def of_all(self, numbers: Floats) -> Floats:
        """Return amounts in the detector's unit, as :meth:`of`; any shape."""
        return _all_moved(numbers, self.digits)

    def written(self, values: Floats) -> Floats:
        """Return amounts as the file writes them, of what :meth:`of_all` gave."""
        return _all_moved(values, -self.digits)


_DIGITS = {
    AmountUnit.WHOLE: 0,
    AmountUnit.CENTS: -2,
    AmountUnit.MILS: -3,
    AmountUnit.HUNDREDS: 2,
    AmountUnit.THOUSANDS: 3,
}
_WORDS = {
    AmountUnit.WHOLE: "as they stand",
    AmountUnit.CENTS: "in cents",
    AmountUnit.MILS: "in thousandths (mils)",
    AmountUnit.HUNDREDS: "in hundreds",
    AmountUnit.THOUSANDS: "in thousands",
}


def whole(numbers: Floats) -> NDArray[np.bool_]:
    """Tell which numbers have nothing behind the decimal mark; NaN has something."""
    return np.asarray(numbers == np.rint(numbers))


def _moved(number: float, digits: int) -> float:
    if not digits:
        return number
    if digits < 0 and number.is_integer():
        # one rounding, of the exact quotient
        return number / float(10**-digits)
    return float(Decimal(repr(number)).scaleb(digits))


def _all_moved(numbers: Floats, digits: int) -> Floats:
    if not digits:
        return numbers
    if digits < 0 and (whole(numbers) | np.isnan(numbers)).all():
        return np.asarray(numbers / 10**-digits)
    return np.array([_moved(each, digits) for each in numbers.ravel().tolist()]).reshape(numbers.shape)
