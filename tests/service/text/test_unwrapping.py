"""What ends a sentence besides its punctuation is for the request to choose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.text.segmentation import SplitSentences, segment
from tests.support.segmented import separators_in

WRAPPED = "  The house\nis old. It\r\n  stands there.\n\nNobody\nlives in it.\n"
JAPANESE = "私は\n学生です。Hello\nworldと\n言った。"
PARTS = ["a", "B.", "日", " ", "\t", "\n", "\r\n", "\u2028", "\u2029", "\f", "1."]
texts = st.lists(st.sampled_from(PARTS)).map("".join)


@pytest.mark.parametrize(
    ("split", "sentences"),
    [
        ("newlines", ["The house", "is old.", "It", "stands there.", "Nobody", "lives in it."]),
        ("punctuation", ["The house is old.", "It stands there.", "Nobody lives in it."]),
        ("none", ["The house is old. It stands there. Nobody lives in it."]),
    ],
)
def test_line_breaks_end_sentences_or_join_them(split: SplitSentences, sentences: list[str]) -> None:
    segmented = segment(WRAPPED, language="en", split=split)
    assert list(segmented.sentences) == sentences
    assert (segmented.gaps[0].text, segmented.gaps[-1].text) == ("  ", "\n")


def test_blank_lines_stay_where_lines_are_joined() -> None:
    segmented = segment(WRAPPED, language="en", split="punctuation")
    assert separators_in(segmented, "de") == ["  ", " ", "\n\n", "\n"]


@pytest.mark.parametrize("split", ["punctuation", "none"])
def test_lines_of_a_language_without_spaces_are_joined_without_them(split: SplitSentences) -> None:
    segmented = segment(JAPANESE, language="ja", split=split)
    assert "".join(segmented.sentences) == "私は学生です。Hello worldと言った。"


def test_a_text_that_is_one_sentence_is_cut_at_the_limit_only() -> None:
    segmented = segment("One. Two. Three, four.", language="en", split="none", max_tokens=18, count_tokens=len)
    assert segmented.sentences == ("One. Two. Three,", "four.")


@given(texts, st.sampled_from(["punctuation", "none"]), st.sampled_from(["en", "ja"]))
def test_joining_changes_nothing_but_white_space(text: str, split: SplitSentences, language: str) -> None:
    segmented = segment(text, language=language, split=split)
    gaps = [gap.text for gap in segmented.gaps]
    joined = gaps[0] + "".join(map(str.__add__, segmented.sentences, gaps[1:]))
    assert joined.split() == text.split() or language == "ja"
    assert "".join(joined.split()) == "".join(text.split())
