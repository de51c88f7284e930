"""Laws of the two lanes, with batches that only have a number of rows."""

from typing import Any

import pytest

from service.engine.lanes import EXPRESS_LEAD_SECONDS, EXPRESS_TURN_SECONDS, MAX_TURN_SECONDS, Lanes


class Rows:
    """A batch without decodes."""

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows
        self.num_free_rows = 8 - num_rows


def make_lanes(*, num_main: int, num_express: int) -> Lanes:
    main: Any = Rows(num_main)
    express: Any = Rows(num_express)
    return Lanes(main, express)


@pytest.mark.parametrize("main_step_seconds", [0.001, 0.003, 0.01])
def test_while_both_lanes_have_decodes_each_gets_half_of_the_time(main_step_seconds: float):
    lanes = make_lanes(num_main=8, num_express=1)
    seconds = {"main": 0.0, "express": 0.0}
    for _ in range(1_000):
        lane = lanes.next()
        took = main_step_seconds if lane is lanes.main else EXPRESS_TURN_SECONDS
        seconds["main" if lane is lanes.main else "express"] += took
        lanes.took(lane, took, num_rows=1, num_steps=1)
    most_apart = EXPRESS_LEAD_SECONDS + main_step_seconds + EXPRESS_TURN_SECONDS
    assert seconds["main"] == pytest.approx(seconds["express"], abs=most_apart)


def test_the_express_lane_has_every_turn_until_it_leads():
    lanes = make_lanes(num_main=8, num_express=1)
    lanes.took(lanes.next(), EXPRESS_LEAD_SECONDS, num_rows=1, num_steps=1)
    assert lanes.next() is lanes.express
    lanes.took(lanes.next(), 0.001, num_rows=1, num_steps=1)
    assert lanes.next() is lanes.main


def test_encoding_is_time_of_the_lane_that_its_decodes_enter():
    lanes = make_lanes(num_main=8, num_express=1)
    lanes.encoded(1.0, is_express=True)
    assert lanes.next() is lanes.main
    lanes.encoded(2.0, is_express=False)
    assert lanes.next() is lanes.express


def test_no_decode_enters_the_main_lane_in_a_turn_of_the_express_lane():
    lanes = make_lanes(num_main=6, num_express=1)
    assert lanes.num_free_main_rows == 0
    lanes.took(lanes.next(), 1.0, num_rows=1, num_steps=1)
    assert lanes.num_free_main_rows == 2


@pytest.mark.parametrize(("num_main", "num_express"), [(0, 1), (6, 0)])
def test_decodes_enter_the_main_lane_while_one_of_the_lanes_is_empty(num_main: int, num_express: int):
    assert make_lanes(num_main=num_main, num_express=num_express).num_free_main_rows == 8 - num_main


def test_a_decode_that_comes_to_an_empty_express_lane_goes_first():
    express: Any = Rows(1)
    main: Any = Rows(8)
    lanes = Lanes(main, express)
    lanes.took(lanes.next(), 1.0, num_rows=1, num_steps=1)
    express.num_rows = 0
    assert lanes.next() is lanes.main
    express.num_rows = 1
    assert lanes.next() is lanes.express


def test_without_decodes_in_the_main_lane_the_express_lane_has_every_turn():
    lanes = make_lanes(num_main=0, num_express=1)
    for _ in range(3):
        assert lanes.next() is lanes.express
        lanes.took(lanes.next(), 1.0, num_rows=1, num_steps=1)


def test_a_turn_decodes_as_many_tokens_as_fit_its_time():
    lanes = make_lanes(num_main=8, num_express=0)
    assert lanes.main.num_tokens_ahead == 1
    lanes.took(lanes.main, MAX_TURN_SECONDS / 5.5, num_rows=8, num_steps=1)
    assert lanes.main.num_tokens_ahead == 5


@pytest.mark.parametrize(("num_rows", "num_tokens"), [(1, 16), (2, 16), (4, 8), (8, 4), (64, 1)])
def test_a_turn_stays_short_when_many_more_rows_have_joined(num_rows: int, num_tokens: int):
    lanes = make_lanes(num_main=num_rows, num_express=0)
    lanes.took(lanes.main, MAX_TURN_SECONDS / 2, num_rows=2, num_steps=8)
    assert lanes.main.num_tokens_ahead == num_tokens
