"""What was taken out of a sentence comes back once, in order, beside the word that attends to its place."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.text.segmentation import segment
from service.text.weaving import SourceInset, Woven, weave

THINGS = ["{a}", "<b>", "</b>", "😀", "https://x.org/?q", "²", "%s"]


def woven(source: str, target: str, *, order: Sequence[int] | None = None, sets_spaces: bool = True) -> Woven:
    """Weave into a target whose word i translates the source's word `order[i]`; 1:1 if that is None."""
    (wording,) = segment(source, language="en").wordings
    insets = [SourceInset(each, len(wording.words[: each.offset].split())) for each in wording.insets]
    deltas = [word if index == 0 or not sets_spaces else f" {word}" for index, word in enumerate(target.split())]
    num_words = len(wording.words.split())
    weights = [[float(column == row) for column in range(num_words)] for row in order or range(len(deltas))]
    return weave(deltas, weights, insets, sets_spaces=sets_spaces)


@pytest.mark.parametrize(
    ("source", "target", "order", "expected"),
    [
        ("Hello {name} there", "Hallo da", None, "Hallo {name} da"),
        (
            "The <b>red</b> house is old",
            "La maison rouge est vieille",
            [0, 2, 1, 3, 4],
            "La maison <b>rouge</b> est vieille",
        ),
        ("I like 😀 dogs", "Ich mag Hunde", None, "Ich mag 😀 Hunde"),
        ("A word² here", "Ein Wort hier", None, "Ein Wort² hier"),
        ("Go to {x}.", "Geh dorthin .", None, "Geh dorthin {x} ."),
        ("Press “{x}” or ({y}) to go", "Drück oder zum Gehen", [0, 1, 2, 3], "Drück “{x}” oder ({y}) zum Gehen"),
        ("the  old dog", "der alte Hund", None, "der  alte Hund"),
        ("un<i>believ</i>able story", "unglaubliche Geschichte", None, "unglaubliche<i></i> Geschichte"),
    ],
)
def test_an_inset_goes_with_the_word_it_stood_beside(
    source: str, target: str, order: list[int] | None, expected: str
) -> None:
    assert woven(source, target, order=order).text == expected


def test_a_pair_of_tags_keeps_a_word_where_attention_would_leave_none() -> None:
    result = woven("one <b>two</b> three", "eins zwei drei", order=[1, 0, 2])
    assert result.text == "<b>eins</b> zwei drei"
    result = woven("one <b>two</b> three", "drei eins zwei", order=[2, 1, 0])
    assert result.text == "drei <b>eins</b> zwei"


def test_a_target_without_spaces_gets_none() -> None:
    assert woven("Hello {name} there", "やあ そこ", sets_spaces=False).text == "やあ{name}そこ"


def test_insets_keep_their_order_and_the_one_that_is_out_of_place_is_named() -> None:
    result = woven("the one{a} and two{b} here", "zwei und eins da hier", order=[3, 2, 1, 0, 4])
    assert result.text.index("{a}") < result.text.index("{b}")
    assert len(result.displaced) == 1


def test_without_attention_an_inset_goes_to_the_end_and_is_named() -> None:
    (wording,) = segment("one {a} two", language="en").wordings
    result = weave(["eins"], [], [SourceInset(wording.insets[0], 1)], sets_spaces=True)
    assert (result.text, result.displaced) == ("eins {a}", ["{a}"])


@given(
    st.lists(st.sampled_from([*THINGS, "one", "two,", "three"]), min_size=2, max_size=12),
    st.lists(st.sampled_from(["eins", " zwei", ",", "drei", " ", "日本", ""]), max_size=8),
    st.booleans(),
    st.data(),
)
def test_every_inset_is_there_once_in_order_and_at_its_span(
    source: list[str], deltas: list[str], sets_spaces: bool, data: st.DataObject
) -> None:
    row = st.lists(st.floats(0, 1), min_size=12, max_size=12)
    for wording in segment(" ".join(source), language="en").wordings:
        insets = [SourceInset(each, len(wording.words[: each.offset].split())) for each in wording.insets]
        weights = [data.draw(row) for _ in deltas]
        result = weave(deltas, weights, insets, sets_spaces=sets_spaces)
        assert [result.text[span.start : span.end] for span in result.spans] == [
            each.inset.text.strip() for each in insets
        ]
        assert all(left.end <= right.start for left, right in pairwise(result.spans))
        assert len(result.deltas) == max(len(deltas), 1)
