"""What stands around the words of a sentence is kept in the gaps, and cells are read like lines."""

import pytest

from service.text.segmentation import segment
from tests.support.segmented import separators_in

EDGES = [
    ("- ", "Buy milk.", ""),
    ("• ", "Buy milk.", ""),
    ("1) ", "Buy milk.", ""),
    ("a) ", "Buy milk.", ""),
    ("(2) ", "Buy milk.", ""),
    ("[ ] ", "Buy milk.", ""),
    ("## ", "Buy milk", ""),
    ("> > ", "Buy milk.", ""),
    (">> ", "Buy milk.", ""),
    ("> - [x] ", "Buy milk.", ""),
    ("-------- ", "Forwarded message", " --------"),
    ("", "Name:", " ______"),
    ("♪ ", "Buy milk", " ♪"),
    ("🎉 ", "Buy milk!", " 👍🏽🇯🇵"),
    ("<p><b>", "Buy milk.", "</b></p>"),
    ("\u200f", "Buy milk.", "\u200e"),
    ("\ufeff", "Buy milk.", "\u200b"),
    ("{name}: ", "buy milk", ""),
    ("https://a.b/c ", "Buy milk", " %s"),
    ("", "Buy {count} bottles.", ""),
    ("", "-5 degrees and a - b", ""),
    ("", "A. Smith", ""),
]


@pytest.mark.parametrize(("before", "sentence", "after"), EDGES)
def test_edges_are_kept_and_not_sent(before: str, sentence: str, after: str) -> None:
    segmented = segment(f"{before}{sentence}{after}\nOne.", language="en")
    assert segmented.sentences == (sentence, "One.")
    assert separators_in(segmented, "ja") == [before, f"{after}\n", ""]


@pytest.mark.parametrize("cell_break", ["\t", "\t\t", " \t ", "   ", "        "])
def test_cells_are_sentences_of_their_own(cell_break: str) -> None:
    segmented = segment(cell_break.join(["The name", "1) the dog", "12:30", "10 km", "end"]), language="en")
    assert segmented.sentences == ("The name", "the dog", "end")
    numbers = cell_break.join(["", "12:30", "10 km", ""])
    assert separators_in(segmented, "ja") == ["", f"{cell_break}1) ", numbers, ""]


@pytest.mark.parametrize(
    "text", ["12:30", "3,50 €", "$3.50", "10 km", "20°C", "1 234,5", "10:30 AM", "v1.2.3", "<b></b>", "☎ +49 30 123456"]
)
def test_a_stretch_without_words_is_no_sentence(text: str) -> None:
    assert separators_in(segment(text, language="en"), "ja") == [text]


def test_sentences_do_not_end_in_a_thing_and_do_end_beside_tags() -> None:
    text = "See {0, plural, one {It is. One.} other {# are. Many.}} here.</p><p>Then https://a.b/c?D. Go to it."
    sentences = segment(text, language="en").sentences
    assert sentences == (
        "See {0, plural, one {It is. One.} other {# are. Many.}} here.",
        "Then https://a.b/c?D.",
        "Go to it.",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Łódź is nice.", "\ufffc is nice."),
        ("I like Łódź", "I like \ufffc"),
        ("<b>Łódź</b> is nice.", "\ufffc is nice."),
        ("I met Łódź Łódź's dog.", "I met \ufffc dog."),
        ("これはŁです。", "これは\ufffcです。"),
        ("Łódź!", None),
    ],
)
def test_a_word_that_the_vocabulary_lacks_keeps_its_place_among_words(text: str, words: str | None) -> None:
    segmented = segment(text, language="en", lacking=lambda line: set("Łź") & set(line))
    assert [wording.words for wording in segmented.wordings] == ([words] if words else [])


def test_words_that_the_vocabulary_lacks_count_for_the_limit_of_a_sentence() -> None:
    segmented = segment(
        "a Łź " * 100,
        language="en",
        lacking=lambda line: set("Łź") & set(line),
        max_tokens=10,
        count_tokens=lambda text: len(text.split()),
    )
    assert {len(wording.words.split()) for wording in segmented.wordings} == {10}
