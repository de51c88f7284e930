"""A tokenizer's alphabet has every character that does not become the unknown token."""

from model.tokenizers.alphabet import Alphabet

UNKNOWN = 3


def test_only_characters_that_become_the_unknown_token_are_lacking() -> None:
    asked: list[str] = []

    def piece_ids(text: str) -> list[int]:
        asked.append(text)
        return [UNKNOWN if character in "ŁΩ" else 7 for character in text]

    alphabet = Alphabet(piece_ids, unk_token_id=UNKNOWN)
    assert alphabet.lacking("Łódź, \n\ud800 Ω") == {"Ł", "Ω"}
    num_asked = len(asked)
    assert alphabet.lacking("Ωó Łd") == {"Ł", "Ω"}
    assert len(asked) == num_asked


def test_without_an_unknown_token_nothing_is_lacking() -> None:
    assert Alphabet(lambda text: [1] * len(text), unk_token_id=None).lacking("Łódź") == set()
