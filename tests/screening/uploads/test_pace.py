"""How far a screening has come is said by weighted stages, and never stands at its end for most of the time."""

from __future__ import annotations

import pytest

from screening.uploads.line.pace import AT_ONCE, COMPARING, EXPLAINING, LOOKING_BACK, SCORING, Pace
from tests.clock import Clock


@pytest.mark.parametrize("weights", [AT_ONCE, LOOKING_BACK])
def test_the_weights_of_all_stages_are_the_whole(weights: dict[str, float]) -> None:
    assert sum(weights.values()) == pytest.approx(1)


def test_a_file_that_is_read_is_far_from_done_where_its_rows_tell_of_each_other() -> None:
    pace = Pace()
    pace.look_back()
    pace.read(0.5)
    shares = [pace.share]
    pace.read(1.0)
    shares.append(pace.share)
    for doing, rows, of in (
        (COMPARING, 0, 1000),
        (SCORING, 500, 1000),
        (SCORING, 1000, 1000),
        (EXPLAINING, 0, 10),
        (EXPLAINING, 10, 10),
    ):
        pace.stage(doing, rows, of)
        pace.read(1.0)  # said at each look, and plays no part any more
        shares.append(pace.share)
    assert shares == pytest.approx([0.05, 0.1, 0.1, 0.575, 0.75, 0.75, 0.99])


def test_rows_that_are_scored_as_they_are_read_leave_room_for_their_reasons() -> None:
    pace = Pace()
    pace.read(1.0)
    assert (pace.doing, pace.share) == (SCORING, 0.9)
    pace.stage(EXPLAINING, 0, 0)
    assert pace.share == 0.9


def test_the_time_that_is_left_is_that_of_the_pace_until_now_once_it_can_be_said() -> None:
    clock = Clock()
    pace = Pace(clock)
    pace.read(0.02 / 0.9)
    clock.now += 10
    assert pace.left is None, "too little is done"
    pace.read(0.25 / 0.9)
    assert pace.left == pytest.approx(30)
    assert pace.told() == {"doing": SCORING, "rows": 0, "of": 0, "left": pytest.approx(30)}
    clock.now = 100.5
    assert pace.left is None, "too short a time"
