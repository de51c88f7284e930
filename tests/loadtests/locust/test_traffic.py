"""Laws of the load tests' traffic: the same texts for the same seed, of many lengths, with the stated repeats."""

from collections.abc import Sequence
from random import Random

import pytest

from loadtests.locust.phrases import read_phrases
from loadtests.locust.traffic import HUB, MAX_TEXTS, Question, Texts, Traffic

PHRASES = read_phrases()
LANGUAGES = list(PHRASES)


def traffic(*, seed: str = "1", repeats: float = 0.3, languages: list[str] = LANGUAGES) -> Traffic:
    return Traffic(PHRASES, languages, seed=seed, repeats=repeats)


def questions(count: int, *, seed: str = "1", repeats: float = 0.3) -> list[Question]:
    source = traffic(seed=seed, repeats=repeats)
    return [source.one_text() for _ in range(count)]


def share_repeated(texts: Sequence[tuple[str, object]]) -> float:
    return 1 - len(set(texts)) / len(texts)


def test_a_seed_gives_the_same_questions_again():
    assert questions(200) == questions(200)
    assert questions(200) != questions(200, seed="2")


def test_the_texts_of_a_language_do_not_depend_on_who_asks_for_them():
    alone, mixed = traffic(), traffic()
    single = [alone.one_text() for _ in range(400)]
    lists = [question for _ in range(100) for question in (mixed.several_texts(), mixed.one_text())]
    for language in LANGUAGES:
        expected = [each.text for each in single if each.source_lang == language]
        got = [text for each in lists if each.source_lang == language for text in _texts(each)]
        assert got[: len(expected)] == expected[: len(got)]
        assert min(len(got), len(expected)) > 10


def _texts(question: Question) -> list[str]:
    return [question.text] if isinstance(question.text, str) else question.text


@pytest.mark.parametrize("language", LANGUAGES)
def test_lengths_go_from_words_to_paragraphs(language: str):
    texts = Texts(PHRASES[language], random=Random(5), repeats=0.0)
    lengths = sorted(len(texts.next()) for _ in range(2000))
    sentence = max(len(PHRASES[language].sentence(Random(seed))) for seed in range(200))
    assert lengths[20] < 15, "words"
    assert lengths[1000] < 2 * sentence, "half are no longer than two sentences"
    assert lengths[-20] > 5 * sentence, "some are paragraphs"


@pytest.mark.parametrize("repeats", [0.0, 0.3, 0.8])
def test_repeats_have_their_share(repeats: float):
    asked = [(each.source_lang, each.text) for each in questions(5000, repeats=repeats)]
    assert share_repeated(asked) == pytest.approx(repeats, abs=0.03)


def test_earlier_texts_are_repeated_more():
    texts = Texts(PHRASES["en"], random=Random(5), repeats=0.5)
    sent = [texts.next() for _ in range(20_000)]
    num_repeats = [sent.count(text) - 1 for text in dict.fromkeys(sent)]
    # By Zipf's law as many fall on the ranks from 1 to 3 as from 4 to 15, and so on.
    counts = [sum(num_repeats[rank - 1 : 4 * rank - 1]) for rank in (1, 4, 16, 64)]
    assert counts == pytest.approx([sum(counts) / 4] * 4, rel=0.25)


def test_every_language_is_asked_for_and_a_tenth_goes_through_english():
    asked = questions(5000)
    assert {each.source_lang for each in asked} == {each.target_lang for each in asked} == set(LANGUAGES)
    pivots = [each for each in asked if HUB not in (each.source_lang, each.target_lang)]
    assert len(pivots) / len(asked) == pytest.approx(0.1, abs=0.02)


def test_lists_have_several_texts_and_several_distinct_targets():
    source = traffic()
    for question in (source.several_texts() for _ in range(300)):
        assert isinstance(question.text, list)
        assert 2 <= len(question.text) <= MAX_TEXTS
        targets = list(question.target_lang)
        assert len(targets) == len({*targets, question.source_lang}) - 1 >= 2
        assert question.num_translations == len(question.text) * len(targets)


def test_two_languages_are_enough():
    source = traffic(languages=["en", "de"])
    assert {tuple(source.several_texts().target_lang) for _ in range(50)} == {("de",), ("en",)}


@pytest.mark.parametrize(("languages", "message"), [(["en", "tlh"], "no texts in tlh"), (["en"], "at least two")])
def test_languages_that_cannot_be_are_refused(languages: list[str], message: str):
    with pytest.raises(ValueError, match=message):
        traffic(languages=languages)
