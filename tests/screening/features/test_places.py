"""Distances of two places: found by name, the same in bulk and one row at a time, and kept with the definition."""

from __future__ import annotations

import json

import numpy as np
import pytest

from screening.features import Definition, compute, define
from screening.features.definitions.places import distances_of, kilometres
from screening.transactions.schema import CellKind, Column, ColumnContract, Role

NAMES = ("lat", "long", "merch_lat", "merch_long")
CONTRACT = ColumnContract.of(
    [Column("when", Role.TIME, CellKind.TIME), *(Column(name, Role.NUMBER, optional=True) for name in NAMES)]
)
PARIS, BERLIN = (48.8566, 2.3522), (52.52, 13.405)


def table() -> np.ndarray:
    rows = np.array(
        [[1.7e9, *PARIS, *BERLIN], [1.7e9 + 60, *PARIS, *PARIS], [1.7e9 + 120, *PARIS, np.nan, np.nan]]
    )
    return np.repeat(rows, 4, axis=0)


def test_the_distance_is_along_the_earth() -> None:
    pairs = [np.array([value]) for value in (*PARIS, *BERLIN)]
    assert kilometres(*pairs)[0] == pytest.approx(878, abs=2)
    around = kilometres(np.array([0.0]), np.array([179.5]), np.array([0.0]), np.array([-179.5]))
    assert around[0] == pytest.approx(111.2, abs=0.1), "the shorter way, over the date line"


def test_two_places_give_a_feature_that_comes_back_from_json_and_is_there_for_one_row() -> None:
    definition = define(CONTRACT, table())
    back = Definition.from_dict(json.loads(json.dumps(definition.as_dict())))
    assert back == definition
    name = "distance(lat, long, merch_lat, merch_long)"
    place = definition.names.index(name)
    whole = compute(back, table())[:, place]
    assert np.expm1(whole[[0, 4, 8]]) == pytest.approx([878, 0, 0], abs=2), "of a blank there is none"
    for row in range(len(table())):
        assert compute(back, table()[row : row + 1])[0, place] == whole[row]
    assert definition.features[place].show(float(whole[0])) == "877.46 km"


def test_a_definition_without_places_is_written_as_it_always_was() -> None:
    one = ColumnContract.of([Column("lat", Role.NUMBER), Column("long", Role.NUMBER)])
    definition = define(one, np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert definition.distances == ()
    assert "distances" not in definition.as_dict()


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (("lat", "long", "merch_lat", "merch_long"), 1),
        (("homeLatitude", "homeLongitude", "shop-latitude", "shop-longitude"), 1),
        (("lat", "lon", "merch_lat", "other_lng"), 0),
        (("flat", "along", "plate", "belong"), 0),
        (("a_lat", "a_lng", "b_lat", "b_lng", "c_lat", "c_lng"), 3),
    ],
)
def test_places_are_found_by_what_their_names_share(names: tuple[str, ...], count: int) -> None:
    assert len(distances_of(names, {name: np.array([10.0, np.nan]) for name in names})) == count


def test_numbers_that_are_no_degrees_are_no_places() -> None:
    cells = {name: np.array([10.0, 5000.0]) for name in NAMES}
    assert distances_of(NAMES, cells) == ()


@pytest.mark.parametrize("damage", [["lat"], ["lat", "long", "merch_lat", "when"], "lat", [1, 2, 3, 4]])
def test_damaged_distances_are_refused(damage: object) -> None:
    from screening.errors import BadArtefact

    given = {**define(CONTRACT, table()).as_dict(), "distances": [damage]}
    with pytest.raises(BadArtefact):
        Definition.from_dict(given)
