"""Edits keep the text around them, and each goes with the delta that it belongs to."""

from service.text.edits import Edit, edited


def test_what_goes_in_between_two_deltas_goes_with_the_first_and_a_replacement_with_the_next() -> None:
    assert edited(["one", "two", "three"], [Edit(3, "+")]) == ["one+", "two", "three"]
    assert edited(["one", "two", "three"], [Edit(3, "2", 3)]) == ["one", "2", "three"]


def test_a_replacement_may_go_over_several_deltas() -> None:
    assert edited(["one", "two", "three"], [Edit(2, "-", 5), Edit(11, "!")]) == ["on-", "", "hree!"]
    assert edited([], [Edit(0, "a"), Edit(0, "b")]) == ["ab"]
