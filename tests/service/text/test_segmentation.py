"""Text between sentences is always kept; sentences are cut where a reader would cut them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.text.segmentation import Segmented, segment
from service.text.wording import Wording
from tests.support.segmented import separators_in

LANGUAGES = ["en", "de", "fr", "es", "ja", "zh-Hans", "th", "xx", "ROMANCE"]
# Characters that end, join or break sentences and lines, words of several scripts, controls and combining characters.
ALPHABET = [
    *".!?…,;:—\"'“”«»()「」。！？、· \t\u00a0\u3000\n\r\v\x00\x1c\x85\u2028\u200b\ufeff",
    *[
        "Dr.",
        "z. B.",
        "M.",
        "3.5",
        "Hello",
        "über",
        "日本語",
        "た",
        "e\u0301",
        "👨‍👩‍👧",
        "\r\n",
        "http://a.b/c?d",
        "שלום",
    ],
]
texts = st.one_of(st.text(), st.lists(st.sampled_from(ALPHABET)).map("".join))


def joined(segmented: Segmented, separators: list[str]) -> str:
    assert len(separators) == len(segmented.sentences) + 1
    parts = zip(segmented.sentences, separators[1:], strict=True)
    return separators[0] + "".join(sentence + separator for sentence, separator in parts)


def source_of(segmented: Segmented) -> str:
    return joined(segmented, [gap.text for gap in segmented.gaps])


@given(texts, st.sampled_from(LANGUAGES))
def test_sentences_and_gaps_are_the_source(text: str, language: str) -> None:
    segmented = segment(text, language=language)
    assert source_of(segmented) == text
    assert all(sentence == sentence.strip() and sentence for sentence in segmented.sentences)


@given(texts, st.sampled_from(LANGUAGES), st.integers(1, 12))
def test_pieces_of_long_sentences_and_gaps_are_the_source(text: str, language: str, max_tokens: int) -> None:
    segmented = segment(text, language=language, max_tokens=max_tokens, count_tokens=len)
    assert source_of(segmented) == text
    assert all(len(wording.words) <= max_tokens for wording in segmented.wordings)


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", ["Dr. Smith paid $3.50 to Mr. Who.", "He left at 5 p.m. on Jan. 3."]),
        ("en", ["Wait… what?", "See https://example.com/a.b?c=d.e for v1.2.3.", "Thanks!"]),
        ("en", ['He said "Stop! Now."', "J. R. R. Tolkien lives in the U.S. now."]),
        (
            "de",
            ["Das kostet z. B. 3,50 Euro.", "Am 3. Mai kam Dr. Müller u. a. an.", "Er rief: „Komm!“", "Dann ging er."],
        ),
        ("fr", ["M. Dupont et Mme. Martin sont là.", "Voir p. ex. la page 3.", "« Bonjour ! »"]),
        ("es", ["El Sr. García vive en EE. UU. desde 2010.", "Ver p. ej. la página 3.", "¿Qué pasa?", "¡Nada!"]),
        ("ja", ["今日はいい天気ですね。", "どこへ行きますか？", "公園です！"]),
        ("ja", ["彼は「行こう。早く！」と言った。", "値段は3.5ドルです。"]),
    ],
)
def test_sentences_end_where_a_reader_ends_them(language: str, sentences: list[str]) -> None:
    text = ("" if language == "ja" else " ").join(sentences)
    assert list(segment(text, language=language).sentences) == sentences


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\n\n", "\n \n", "\u2028", "\x85"])
def test_line_breaks_and_indentation_are_kept_in_every_target(line_break: str) -> None:
    segmented = segment(f"  One{line_break}\ttwo. {line_break}", language="en")
    assert segmented.sentences == ("One", "two.")
    for target in ("de", "ja"):
        assert separators_in(segmented, target) == ["  ", f"{line_break}\t", f" {line_break}"]


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\u3000\t", "---", "***\n\n…", "🎉", "(!)", "\u0301", "1.\nIV."])
def test_text_without_letters_or_digits_has_no_sentences(text: str) -> None:
    segmented = segment(text, language="en")
    assert segmented.sentences == ()
    assert separators_in(segmented, "ja") == [text]


@pytest.mark.parametrize(
    ("source", "text", "target", "separator"),
    [
        ("en", "One.  Two.", "de", "  "),
        ("en", "One.  Two.", "ja", ""),
        ("en", "One.\tTwo.", "zh-Hant", "\t"),
        ("en", "One. Two.", "th", " "),
        ("ja", "一つ。二つ。", "en", " "),
        ("ja", "一つ。二つ。", "zh", ""),
        ("ja", "一つ。\n二つ。", "en", "\n"),
        ("ja", "一つ。\u3000二つ。", "en", "\u3000"),
    ],
)
def test_whitespace_between_sentences_follows_source_and_target(
    source: str, text: str, target: str, separator: str
) -> None:
    assert separators_in(segment(text, language=source), target) == ["", separator, ""]


@pytest.mark.parametrize(
    ("source", "text", "target", "separators"),
    [
        ("en", "abcdefgh", "de", ["", "", ""]),  # a word cut in two stays one
        ("en", "abcd efg", "ja", ["", "", ""]),
        ("ja", "あいうえおかきく", "en", ["", " ", ""]),
    ],
)
def test_whitespace_between_pieces_follows_source_and_target(
    source: str, text: str, target: str, separators: list[str]
) -> None:
    segmented = segment(text, language=source, max_tokens=4, count_tokens=len)
    assert separators_in(segmented, target) == separators


@pytest.mark.parametrize(
    ("text", "number"), [("1. Buy milk.", "1. "), ("IV. Buy milk.", "IV. "), ("12.3. Buy milk.", "12.3. ")]
)
def test_number_of_an_item_is_kept_at_the_start_of_a_line(text: str, number: str) -> None:
    segmented = segment(f"List:\n{text}", language="en")
    assert segmented.sentences == ("List:", "Buy milk.")
    assert separators_in(segmented, "ja") == ["", f"\n{number}", ""]


def test_windows_of_a_long_line_do_not_move_boundaries() -> None:
    sentences = [f"Sentence {number} ends here, says Dr. Smith." for number in range(1000)]
    assert list(segment(" ".join(sentences), language="en").sentences) == sentences
    assert segment("word " * 2000, language="en").sentences == (("word " * 2000).strip(),)


def test_control_characters_are_text_and_lone_surrogates_are_refused() -> None:
    assert segment("a\x00b\x01.", language="en").sentences == ("a\x00b\x01.",)
    with pytest.raises(UnicodeEncodeError):
        segment("a \ud800", language="en")


def test_each_sentence_is_announced_when_it_is_found_and_the_work_can_be_stopped() -> None:
    found: list[str] = []

    def stop_at_two(wording: Wording) -> None:
        found.append(wording.words)
        if len(found) == 2:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        segment("One. Two. Three.", language="en", on_sentence=lambda _, wording: stop_at_two(wording))
    assert found == ["One.", "Two."]
