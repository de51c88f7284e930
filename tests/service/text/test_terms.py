"""A term takes the place of the words that attend to it, unless it is there already."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.text.terms import SourceTerm, put_terms


def put(target: str, *terms: tuple[int, str], order: Sequence[int] | None = None, spaced: bool = True) -> str:
    """Put terms into a target whose word i translates the source's word `order[i]`; 1:1 if that is None."""
    words = target.split()
    deltas = [word if index == 0 or not spaced else f" {word}" for index, word in enumerate(words)]
    weights = [[float(column == row) for column in range(9)] for row in order or range(len(words))]
    changed, _ = put_terms(deltas, weights, [SourceTerm(place, place + 1, text) for place, text in terms])
    return "".join(changed)


@pytest.mark.parametrize(
    ("target", "terms", "order", "expected"),
    [
        ("Ein Hund bellt.", [(1, "Köter")], None, "Ein Köter bellt."),
        ("Hunde bellen.", [(0, "köter")], None, "Köter bellen."),
        ("Hunde bellen.", [(0, "eBay")], None, "eBay bellen."),
        ("Das Haus des Hundes ist rot.", [(1, "Hund")], [0, 0, 4, 1, 2, 3], "Das Haus des Hundes ist rot."),
        ("Singapur is here", [(0, "Singapore")], None, "Singapore is here"),
        ("Die Katzen schlafen.", [(1, "Katze")], None, "Die Katzen schlafen."),
        ("Die Katze sieht ein Tier.", [(4, "Katze")], None, "Die Katze sieht ein Tier."),
        ("the credit card here", [(1, "Zorbel")], [0, 1, 1, 2], "the Zorbel here"),
        ("B und A", [(0, "C"), (2, "D")], [2, 1, 0], "D und C"),
        ("Die U-Bahn fährt", [(1, "Metro")], None, "Die Metro fährt"),
        ("Ja", [(5, "Köter")], None, "Ja Köter"),
        ("", [(0, "Köter")], None, "Köter"),
    ],
)
def test_a_term_takes_the_place_of_its_translation(
    target: str, terms: list[tuple[int, str]], order: list[int] | None, expected: str
) -> None:
    assert put(target, *terms, order=order) == expected


def test_a_script_without_spaces_loses_no_neighbour() -> None:
    assert put("犬 が 好き", (0, "Zorbel"), spaced=False) == "Zorbelが好き"


def test_a_term_that_no_word_attends_to_is_named() -> None:
    term = SourceTerm(0, 1, "Köter")
    assert put_terms(["Ja", "."], [[0.0, 1.0], [0.0, 1.0]], [term]) == (["Ja Köter", "."], [term])


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([[0.6, 0.4], [0.2, 0.8]], ["łódź", " da"]),
        ([[0.2, 0.8], [0.6, 0.4]], ["Hallo", " łódź"]),
        ([[0.4, 0.6], [0.2, 0.8]], None),
    ],
)
def test_an_unknown_word_replaces_only_a_word_that_attends_to_it_before_all(
    weights: list[list[float]], expected: list[str] | None
) -> None:
    word = SourceTerm(0, 1, "łódź", is_unknown=True)
    deltas, lost = put_terms(["Hallo", " da"], weights, [word])
    assert (deltas, lost) == ((expected, []) if expected else (["Hallo", " da"], [word]))


@given(
    st.lists(st.sampled_from(["eins", " zwei", ",", "drei", " ", "日本", "", " un", "dert"]), max_size=8),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3), st.sampled_from(["Foo", "bar baz", "犬"])), max_size=4),
    st.data(),
)
def test_every_term_is_there_as_often_as_in_the_source(
    deltas: list[str], terms: list[tuple[int, int, str]], data: st.DataObject
) -> None:
    weights = [data.draw(st.lists(st.floats(0, 1), min_size=8, max_size=8)) for _ in deltas]
    source = [SourceTerm(start, start + length, target) for start, length, target in terms]
    changed, _ = put_terms(deltas, weights, source)
    text = "".join(changed).casefold()
    assert all(text.count(target.casefold()) == sum(each[2] == target for each in terms) for *_, target in terms)
    assert len(changed) == max(len(deltas), 1)
