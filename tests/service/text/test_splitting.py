"""A sentence that is too long becomes pieces that fit, cut where it hurts least; the cost grows with its length."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from service.text.splitting import split_long

SPECIMENS = [*", ;:—、。！“”)」 \t\n", "word", "日本語", "e\u0301", "👨‍👩‍👧", "🇯🇵", "x" * 40, "\u0301" * 40]
texts = st.one_of(st.text(), st.lists(st.sampled_from(SPECIMENS)).map("".join))


def count_words_and_characters(text: str) -> int:
    """Like a tokenizer, not additive: a piece of up to 3 characters a token, and one more for each start of a text."""
    return 1 + sum(-(-len(word) // 3) for word in text.split())


@given(texts, st.integers(4, 20))
def test_pieces_fit_and_are_the_sentence(text: str, max_tokens: int) -> None:
    pieces = split_long(text, max_tokens=max_tokens, count_tokens=count_words_and_characters)
    assert "".join(pieces) == text
    assert all(count_words_and_characters(piece) <= max_tokens for piece in pieces)


@pytest.mark.parametrize(
    ("pieces", "max_tokens"),
    [
        (["It rained, ", "so we stayed in."], 18),
        (["Rain fell; ", "we read, ate, ", "and slept."], 14),
        (["雨が降ったので、", "家にいました。"], 8),
        (["It costs 3,50 at ", "12:30 a.b.c/d,e?f"], 18),  # marks inside numbers and addresses end no clause
        (["no marks here ", "just words"], 15),
        (["“Stop,” ", "he said to me"], 14),
        (["abcd", "efgh"], 5),
    ],
)
def test_cuts_prefer_clause_marks_then_spaces_and_even_pieces(pieces: list[str], max_tokens: int) -> None:
    assert split_long("".join(pieces), max_tokens=max_tokens, count_tokens=len) == pieces


def test_cuts_spare_grapheme_clusters() -> None:
    text = "a" + "".join(["e\u0301", "👨‍👩‍👧", "🇯🇵", "กั", "각"] * 40)
    pieces = split_long(text, max_tokens=9, count_tokens=len)
    assert len(pieces) > 40
    assert [cluster for piece in pieces for cluster in regex.findall(r"\X", piece)] == regex.findall(r"\X", text)


def test_a_sentence_that_fits_stays_whole() -> None:
    assert split_long("one, two; three", max_tokens=15, count_tokens=len) == ["one, two; three"]


def test_a_character_of_too_many_tokens_is_left_alone() -> None:
    assert split_long("🎉🎉", max_tokens=3, count_tokens=lambda text: 4 * len(text)) == ["🎉", "🎉"]


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="max_tokens is 0"):
        split_long("a", max_tokens=0, count_tokens=len)


@pytest.mark.parametrize(
    "unit", ["a", "日本", "a ", "a, ", "、", "a,b", "e\u0301", "a,)))", "👨‍👩‍👧", "\u0301", "\u200b"]
)
def test_work_grows_with_the_length_whatever_is_in_it(unit: str) -> None:
    text = unit * (100_000 // len(unit))
    counted: list[int] = []

    def count_tokens(part: str) -> int:
        counted.append(len(part))
        return len(part)

    pieces = split_long(text, max_tokens=250, count_tokens=count_tokens)
    assert "".join(pieces) == text
    assert sum(counted) <= 4 * len(text)
    assert len(counted) <= 2 * len(text)
