"""Find columns that are places on the earth, two numbers each, and compute their distances."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RADIUS = 6371.0088
"""Kilometres: the mean radius of the earth (IUGG)."""
# A payment has no more places than this, and their distances grow with the square.
MOST_PLACES = 4
LATITUDE = re.compile(r"(?:^|_)(lat|latitude)(?:_|$)")
LONGITUDE = re.compile(r"(?:^|_)(lon|lng|long|longitude)(?:_|$)")
HALVES = ((LATITUDE, 90.0), (LONGITUDE, 180.0))


class Distance(NamedTuple):
    """Four columns: latitude and longitude of one place, then of another."""

    latitude: str
    longitude: str
    other_latitude: str
    other_longitude: str

    @property
    def name(self) -> str:
        """Name of the feature."""
        return f"distance({', '.join(self)})"


def distances_of(names: Sequence[str], columns: Mapping[str, Floats]) -> tuple[Distance, ...]:
    """Return the distances that the columns of a file allow: one for each two places.

    Args:
        names: the columns of numbers, in order.
        columns: their cells, (rows,), NaN for a blank.
    """
    halves: list[dict[str, str]] = []
    for pattern, bound in HALVES:
        found: dict[str, str] = {}
        for name in names:
            plain = plain_name(name)
            if (match := pattern.search(plain)) and _within(columns[name], bound):
                found[plain[: match.start(1)] + "*" + plain[match.end(1) :]] = name
        halves.append(found)
    latitudes, longitudes = halves
    places = [(latitudes[rest], longitudes[rest]) for rest in latitudes if rest in longitudes]
    if len(places) > MOST_PLACES:
        return ()
    return tuple(Distance(*one, *other) for one, other in combinations(places, 2))


def kilometres(
    latitude: Floats, longitude: Floats, other_latitude: Floats, other_longitude: Floats
) -> Floats:
    """Return the great-circle distance of places in kilometres, all in degrees and of one shape (haversine formula)."""
    one, other = np.radians(latitude), np.radians(other_latitude)
    across = np.sin((other - one) / 2) ** 2
    along = np.sin(np.radians(other_longitude - longitude) / 2) ** 2
    found: Floats = (
        2 * RADIUS * np.arcsin(np.sqrt(np.clip(across + np.cos(one) * np.cos(other) * along, 0, 1)))
    )
    return found


def plain_name(name: str) -> str:
    """Return a column's name in lower case with its words apart: ``merchLat`` and ``Merch-Lat`` are ``merch_lat``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", spaced.casefold()).strip("_")


def _within(cells: Any, bound: float) -> bool:
    known = cells[~np.isnan(cells)]
    return bool(len(known)) and bool((np.abs(known) <= bound).all())
