"""The joined deltas equal the plain answer for every text, route, search and order of events."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.search.spec import DecodeSpec
from service.translation.results import TokenEvent, Translation
from tests.support.fake_engine import EOS, FakeEngine, echo
from tests.support.translator_bench import Bench, bundled_model

WORDS = ["Hello", "one.", "Two!", "über", "日本語。", "は？", "e\u0301", "👨‍👩‍👧", "1.", "x" * 40]
BETWEEN = ["…", "---", " ", "  ", "\n", "\r\n", "\t", "\u3000"]
TEXTS = st.lists(st.sampled_from(WORDS + BETWEEN), min_size=1, max_size=14).map("".join).filter(str.strip)
ROUTES = [("en", ("de",)), ("en", ("ja", "de-DE", "de")), ("de", ("fr", "en", "ja")), ("ja", ("en", "es"))]


def other_pieces(spec: DecodeSpec) -> list[list[int]]:
    """Tokens that translate nothing: words, bits of words and spaces, in any order and number."""
    return [[*(token_id * 7 % 4000 + 4 for token_id in ids[:-1]), EOS] for ids in echo(spec)]


def no_words(spec: DecodeSpec) -> list[list[int]]:
    return [[EOS] for _ in range(spec.num_hypotheses)]


def joined_deltas(events: Iterable[TokenEvent | Translation]) -> dict[tuple[int, str], str]:
    joined: defaultdict[tuple[int, str], str] = defaultdict(str)
    for event in events:
        if isinstance(event, TokenEvent):
            joined[event.text_index, event.target_lang] += event.text
    return joined


@settings(max_examples=150, deadline=None)
@given(
    st.lists(TEXTS, min_size=1, max_size=3),
    st.sampled_from(ROUTES),
    st.sampled_from([1, 3]),
    st.sampled_from([echo, other_pieces, no_words]),
    st.integers(0, 1000),
)
def test_joined_deltas_are_the_plain_answer(
    texts: list[str],
    route: tuple[str, tuple[str, ...]],
    beam_size: int,
    script: Callable[[DecodeSpec], list[list[int]]],
    seed: int,
) -> None:
    source, targets = route
    options = {"source": source, "targets": targets, "beam_size": beam_size, "num_hypotheses": beam_size}
    plain = asyncio.run(Bench(FakeEngine(script)).plain(*texts, **options))
    events = asyncio.run(Bench(FakeEngine(script, seed=seed)).events(*texts, **options))
    assert [(each.text_index, each.target_lang) for each in plain] == [
        (index, target) for index in range(len(texts)) for target in targets
    ]
    translations = [event for event in events if isinstance(event, Translation)]
    assert sorted(translations, key=plain.index) == plain
    joined = joined_deltas(events)
    assert all(joined[each.text_index, each.target_lang] == each.text for each in plain)


async def test_tokens_come_in_reading_order_and_then_the_translation() -> None:
    bench = Bench(FakeEngine(seed=3))
    *tokens, translation = await bench.events(" ".join(f"Sentence {number} is here." for number in range(20)))
    assert isinstance(translation, Translation)
    indices = [token.sentence_index for token in tokens if isinstance(token, TokenEvent)]
    assert indices == sorted(indices)
    assert set(indices) == set(range(20))
    assert len(tokens) == sum(len(echo(spec)[0]) for spec in bench.engine.specs)


async def test_a_text_without_words_is_kept_without_a_decode() -> None:
    bench = Bench()
    (token, translation) = await bench.events("---\n…")
    assert isinstance(token, TokenEvent)
    assert (token.text, token.token_id) == (translation.text, None) == ("---\n…", None)
    assert bench.engine.specs == []


@pytest.mark.parametrize(
    ("pivot_text", "expected"), [("One. Two.", " 1. One. Two.\n"), ("...", " 1. ...\n"), ("", " 1. \n")]
)
async def test_a_sentence_that_becomes_two_or_none_in_the_pivot_language_stays_in_its_place(
    pivot_text: str, expected: str
) -> None:
    tokenizer = bundled_model().tokenizer
    first_prompt = tuple(tokenizer.decoder_prompt("en"))

    def through(spec: DecodeSpec) -> list[list[int]]:
        return [[*tokenizer.piece_ids(pivot_text), EOS]] if spec.decoder_prompt == first_prompt else echo(spec)

    text = " 1. Ein Satz.\n" * 2
    (translation,) = await Bench(FakeEngine(through)).plain(text, source="de", targets=("fr",))
    assert translation.text == expected * 2
    events = await Bench(FakeEngine(through)).events(text, source="de", targets=("fr",))
    assert joined_deltas(events) == {(0, "fr"): expected * 2}
