import pytest

from loadtests.bench.turns import Turns


@pytest.mark.parametrize("repeat", [False, True])
def test_a_request_waits_while_an_equal_one_is_in_flight(repeat: bool):
    turns = Turns([b"a", b"a", b"b"], repeat=repeat)
    assert [turns.take(), turns.take()] == [b"a", b"b"]
    turns.answered(b"a")
    assert turns.take() == b"a"


def test_a_load_is_not_held_up_where_all_are_in_flight():
    turns = Turns([b"a", b"b"], repeat=True)
    assert [turns.take() for _ in range(5)] == [b"a", b"b", b"a", b"b", b"a"]


def test_requests_that_do_not_come_again_run_out():
    turns = Turns([b"a", b"a", b"b"], repeat=False)
    assert sorted(turns.take() for _ in range(3)) == [b"a", b"a", b"b"]
    assert not turns
