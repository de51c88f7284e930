"""Which words of a text are terms of a glossary."""

import pytest

from service.text.glossary import Glossary


def found(text: str, *terms: str) -> list[str]:
    return [text[each.start : each.end] for each in Glossary(dict.fromkeys(terms, "x")).find(text)]


@pytest.mark.parametrize(
    ("text", "terms", "expected"),
    [
        ("A dog, a dogma and hotdogs. DOG! Dog's", ["dog"], ["dog", "DOG", "Dog"]),
        ("US and us and Us", ["US"], ["US"]),
        ("US and us", ["US", "us"], ["US", "us"]),
        ("the New York Times of New York", ["New York", "New York Times"], ["New York Times", "New York"]),
        ("a New Yorker in York", ["New York", "york"], ["York"]),
        ("C++ or C#, or C", ["C++", "C"], ["C++", "C", "C"]),
        ("the dog-house", ["dog"], ["dog"]),
        ("東京都と京都", ["京都"], ["京都", "京都"]),
        ("ビールください", ["ビール"], ["ビール"]),
        ("Über die Übermut", ["u\u0308ber"], ["Über"]),
        ("one two three", ["two  three", "one two"], ["one two"]),
    ],
)
def test_a_term_is_whole_words_the_longest_first(text: str, terms: list[str], expected: list[str]) -> None:
    assert found(text, *terms) == expected


def test_found_terms_have_their_translations() -> None:
    glossary = Glossary({"dog": " Hündin ", "US": "USA"})
    assert [each.target for each in glossary.find("Dog of the US")] == ["Hündin", "USA"]
    assert Glossary({"\u200b": "x", "dog": "\u200b"}).target_of("dog") is None
    assert (glossary.target_of("DOG"), glossary.target_of("dogs")) == ("Hündin", None)
