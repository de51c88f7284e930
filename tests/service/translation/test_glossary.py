"""The terms of a glossary are in every hypothesis, on any route, streamed or not, and cost nothing elsewhere."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.text.glossary import Glossary
from tests.service.translation.test_reading_order import joined_deltas, no_words
from tests.support.fake_engine import FakeEngine, echo
from tests.support.translator_bench import Bench

TERMS = Glossary({"dog": "Zorbel", "red house": "Mikvan", "ABC-12345": "XYZ-1"})
WORDS = ["dog", "Dog", "red house", "{name}", "<b>", "and", "trees,", "one.", "Two!", "😀"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=8).map(" ".join)


@settings(max_examples=80, deadline=None)
@given(TEXTS, st.sampled_from([("en", "de"), ("en", "ja"), ("de", "fr")]), st.sampled_from([1, 3]))
def test_deltas_join_to_the_plain_answer_which_has_each_thing_once(
    text: str, route: tuple[str, str], beam_size: int
) -> None:
    source, target = route
    options: dict[str, Any] = {
        "source": source,
        "targets": (target,),
        "glossary": TERMS,
        "beam_size": beam_size,
        "num_hypotheses": beam_size,
    }
    (plain,) = asyncio.run(Bench(FakeEngine(echo)).plain(text, **options))
    assert joined_deltas(asyncio.run(Bench(FakeEngine(echo, seed=1)).events(text, **options)))[0, target] == plain.text
    for thing in ("{name}", "<b>", "😀"):
        assert plain.text.count(thing) == text.count(thing)


@pytest.mark.parametrize("targets", [("de",), ("ja",)])
async def test_every_hypothesis_has_the_term(targets: tuple[str, ...]) -> None:
    (translation,) = await Bench().plain(
        "A dog sits here today.", targets=targets, glossary=TERMS, beam_size=4, num_hypotheses=3
    )
    assert all("Zorbel" in each.text for each in translation.hypotheses)


async def test_only_sentences_with_a_term_ask_for_attention() -> None:
    bench = Bench()
    await bench.plain("A dog. A cat. Dogs bark.", glossary=TERMS)
    assert [spec.with_alignment for spec in bench.engine.specs] == [True, False, False]


async def test_a_code_that_is_a_term_is_translated() -> None:
    (translation,) = await Bench().plain("Order ABC-12345 now.", glossary=TERMS)
    assert "XYZ-1" in translation.text
    assert "ABC" not in translation.text


@pytest.mark.parametrize("targets", [("en",), ("fr",)])
async def test_a_word_that_the_vocabulary_lacks_is_translated_if_it_is_a_term(targets: tuple[str, ...]) -> None:
    options: dict[str, Any] = {"source": "de", "targets": targets, "glossary": Glossary({"Łódź": "Lodz"})}
    (translation,) = await Bench().plain("Der Hund in Łódź schläft.", **options)
    assert (translation.text.count("Lodz"), translation.text.count("Łódź")) == (1, 0)


async def test_a_term_that_no_word_translates_is_named() -> None:
    (translation,) = await Bench(FakeEngine(no_words)).plain("A dog.", glossary=TERMS)
    assert translation.warnings == ["'Zorbel' may not be in its exact place"]
    assert "Zorbel" in translation.text


async def test_terms_in_html_are_written_as_text_and_leave_its_tags_alone() -> None:
    page = '<p>The <b>dog</b> saw <code>dog</code> today.</p><img alt="A dog">'
    options: dict[str, Any] = {"format": "html", "glossary": Glossary({"dog": "R&D <x>"})}
    (plain,) = await Bench().plain(page, **options)
    for part, count in {
        "R&amp;D &lt;x&gt;": 2,
        "<code>dog</code>": 1,
        "<b>": 1,
        "</b>": 1,
        "<img": 1,
        "<x>": 0,
    }.items():
        assert plain.text.count(part) == count
    assert joined_deltas(await Bench(FakeEngine(seed=2)).events(page, **options))[0, "de"] == plain.text
