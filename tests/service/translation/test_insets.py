"""Things that are not language come through every translation: once, on any route, with any search."""

import asyncio
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.translation.results import TokenEvent
from tests.service.translation.test_reading_order import joined_deltas, no_words, other_pieces
from tests.support.fake_engine import FakeEngine, echo
from tests.support.translator_bench import Bench

THINGS = [
    *("{name}", "%(user)s", "${key}", "<b>", "</b>", '<x id="1"/>', "https://example.com/a?b=c", "a.b@example.com"),
    *("😀", "👩‍👩‍👧", "🇯🇵", "6171-1231-1311-1231", "ABC-12345", "snake_case", "Łódź", "♞", "5³"),
]
THING = re.compile("|".join(map(re.escape, THINGS)))
WORDS = ["Hello", "one.", "Two!", "über", "日本語。", "house,", "12:30", "(yes)"]
SPACES = [" ", " ", " ", "\n", "\t", "  ", "    ", "\r\n"]
LINES = st.lists(st.tuples(st.sampled_from([*THINGS, *WORDS]), st.sampled_from(SPACES)), min_size=1, max_size=10)
TEXTS = LINES.map(lambda parts: "".join(map("".join, parts)))
ROUTES = [("en", ("de",)), ("en", ("ja", "fr")), ("de", ("fr", "ja")), ("ja", ("es",))]


def structure(text: str) -> list[str]:
    """Its line breaks and tabs."""
    return re.findall(r"\r\n|[\n\t]", text)


@settings(max_examples=120, deadline=None)
@given(TEXTS, st.sampled_from(ROUTES), st.sampled_from([1, 3]), st.sampled_from([echo, other_pieces, no_words]))
def test_things_and_the_structure_of_lines_come_through_streamed_or_not(
    text: str, route: tuple[str, tuple[str, ...]], beam_size: int, script: Any
) -> None:
    source, targets = route
    options = {"source": source, "targets": targets, "beam_size": beam_size, "num_hypotheses": beam_size}
    plain = asyncio.run(Bench(FakeEngine(script)).plain(text, **options))
    for translation in plain:
        for hypothesis in translation.hypotheses:
            assert Counter(THING.findall(hypothesis.text)) == Counter(THING.findall(text))
            assert structure(hypothesis.text) == structure(text)
    joined = joined_deltas(asyncio.run(Bench(FakeEngine(script, seed=1)).events(text, **options)))
    assert all(joined[0, each.target_lang] == each.text for each in plain)


async def test_only_sentences_with_things_among_their_words_ask_for_attention() -> None:
    bench = Bench()
    await bench.plain("A dog. A {name} dog. {name} dogs bark. 😀 Dogs sit in {place}.")
    assert [spec.with_alignment for spec in bench.engine.specs] == [False, True, False, False]


async def test_attention_that_was_not_asked_for_is_not_shown() -> None:
    *tokens, _ = await Bench().events("A {name} dog.", with_tokens=True)
    assert all(isinstance(token, TokenEvent) and token.alignment is None for token in tokens)
    (translation,) = await Bench().plain("A {name} dog.", with_tokens=True, with_alignment=True)
    assert translation.tokens is not None
    assert all(token.alignment for token in translation.tokens)


async def test_what_may_not_be_in_its_place_is_named_in_a_warning() -> None:
    (translation,) = await Bench(FakeEngine(no_words)).plain("A {name} dog.")
    assert (translation.text, translation.warnings) == ("{name}", ["'{name}' may not be in its exact place"])
    (translation,) = await Bench().plain("A dog. {name}")
    assert translation.warnings is None


@pytest.mark.parametrize(
    "text", ["6171-1231-1311-1231", "12:30", "3,50 €", "10 km", "https://a.b/c", "<br/>", "v1.2.3\t5³"]
)
async def test_a_text_without_words_costs_no_decode(text: str) -> None:
    bench = Bench()
    (translation,) = await bench.plain(text)
    assert (translation.text, bench.engine.specs) == (text, [])


@pytest.mark.parametrize("text", ["So\u00adft words\u200b here", "\ufeffSoft wo\u2060rds here"])
async def test_invisible_characters_do_not_change_a_translation(text: str) -> None:
    def sent(bench: Bench) -> list[tuple[int, ...]]:
        return [spec.source_ids for spec in bench.engine.specs]

    plain, marked = Bench(), Bench()
    await plain.plain("Soft words here")
    await marked.plain(text)
    assert sent(plain) == sent(marked)


async def test_decomposed_letters_share_the_decode_of_composed_ones() -> None:
    bench = Bench()
    first, second = await bench.plain("Übermut tut gut.", "U\u0308bermut tut gut.", source="de", targets=("en",))
    assert first.text == second.text
    assert len(bench.engine.specs) == 1
