"""Amounts as whole minor units, so that sums are the same whoever adds them up, and in which order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _codes(text: str) -> list[str]:
    return text.split()


EXPONENTS = {
    **dict.fromkeys(_codes("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"), 0),
    **dict.fromkeys(_codes("BHD IQD JOD KWD LYD OMR TND"), 3),
    **dict.fromkeys(_codes("CLF UYW"), 4),
}
"""Digits after the point of the currencies that haven't two (ISO 4217, list one)."""
USUAL = 2
LARGEST = 9.2e18
"""Of a whole number of 64 bits."""


def exponent(currency: str | None) -> int:
    """Return how many digits after the point an amount of this currency has; two where no currency is known."""
    return USUAL if currency is None else EXPONENTS.get(currency, USUAL)


def minor(
    amounts: NDArray[np.float64], exponents: NDArray[np.int64] | int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return amounts in whole minor units, half a unit to the even neighbour, and which of them there are.

    Args:
        amounts: (rows,), NaN where there is none.
        exponents: digits after the point, of all or of each, (rows,).

    Returns:
        int64 (rows,) with 0 where there is none, and bool (rows,). An amount that 64 bits don't hold is none.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.rint(amounts * np.power(10.0, exponents))
        there = np.abs(scaled) < LARGEST
    return np.where(there, scaled, 0.0).astype(np.int64), there


def units(amount: float, exponent: int) -> int | None:
    """Return one amount as :func:`minor` does; ``None`` where there is none."""
    scaled = amount * 10.0**exponent
    return round(scaled) if abs(scaled) < LARGEST else None  # NaN isn't below it


def major(units: int, currency: str | None) -> float:
    """Return an amount as people write it."""
    return float(units / 10 ** exponent(currency))
