"""Laws of the expected lengths of targets."""

import pytest

from model.search.spec import DecodeSpec
from service.engine.cost import decode_cost
from service.engine.target_lengths import TargetLengths


def make_spec(
    num_source_tokens: int, *, pair: str = "en-de", max_new_tokens: int = 100, beam_size: int = 1
) -> DecodeSpec:
    return DecodeSpec("model", (7,) * num_source_tokens, (2,), max_new_tokens, beam_size=beam_size, language_pair=pair)


def learn(lengths: TargetLengths, *, ratio: float, times: int = 200, pair: str = "en-de") -> None:
    for _ in range(times):
        lengths.learn(make_spec(20, pair=pair), num_tokens=int(20 * ratio), finish_reason="stop")


def test_a_target_is_expected_to_be_as_long_as_its_source_until_more_is_known():
    assert TargetLengths().expected(make_spec(20)) == 20


@pytest.mark.parametrize("ratio", [0.5, 1.6, 3.0])
def test_the_expected_length_comes_close_to_the_lengths_seen(ratio: float):
    lengths = TargetLengths()
    learn(lengths, ratio=ratio)
    assert lengths.expected(make_spec(20)) == pytest.approx(20 * ratio, rel=0.1)


def test_a_pair_learns_for_itself():
    lengths = TargetLengths()
    learn(lengths, ratio=3.0)
    assert lengths.expected(make_spec(20, pair="de-en")) == 20


def test_one_odd_target_changes_little():
    lengths = TargetLengths()
    learn(lengths, ratio=1.0)
    lengths.learn(make_spec(5), num_tokens=100, finish_reason="repetition")
    assert lengths.expected(make_spec(20)) <= 21


def test_what_was_long_ago_is_forgotten():
    lengths = TargetLengths()
    learn(lengths, ratio=3.0, times=1_000)
    learn(lengths, ratio=1.0, times=5_000)
    assert lengths.expected(make_spec(20)) == pytest.approx(20, rel=0.1)


def test_a_limit_bounds_what_is_expected_and_teaches_no_shorter_targets():
    lengths = TargetLengths()
    short = make_spec(20, max_new_tokens=3)
    for _ in range(1_000):
        lengths.learn(short, num_tokens=3, finish_reason="length")
    assert (lengths.expected(short), lengths.expected(make_spec(20))) == (3, 20)


def test_each_row_of_a_beam_costs_as_much():
    assert decode_cost(make_spec(20, beam_size=4), TargetLengths()) == 80
