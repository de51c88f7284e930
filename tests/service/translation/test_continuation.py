"""No translation is cut off but by the client: one that is longer than a decode goes on in the next."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from model.search.spec import DecodeSpec
from service.translation.results import TokenEvent, Translation
from tests.support.fake_engine import EOS, FakeEngine
from tests.support.translator_bench import Bench, bundled_model

FIRST = 100
SENTENCE = "word " * 30 + "end."
LIMIT = 64


def counting(num_tokens: int) -> Any:
    """A script: a target of so many tokens that count, from wherever the prompt has left off; each beam the same."""

    def script(spec: DecodeSpec) -> list[list[int]]:
        last = spec.decoder_prompt[-1]
        start = last + 1 if FIRST <= last < FIRST + num_tokens else FIRST
        ids = [*range(start, FIRST + num_tokens), EOS][: spec.max_new_tokens]
        return [ids] * spec.num_hypotheses

    return script


def bench(num_tokens: int) -> Bench:
    model = replace(bundled_model(), max_new_tokens=LIMIT)
    return Bench(FakeEngine(counting(num_tokens)), models=[model])


def text_of(num_tokens: int) -> str:
    return bundled_model().tokenizer.decode(list(range(FIRST, FIRST + num_tokens)))


@pytest.mark.parametrize("options", [{}, {"beam_size": 3, "num_hypotheses": 3}, {"with_tokens": True}])
@pytest.mark.parametrize("num_tokens", [LIMIT - 1, LIMIT, 150])
async def test_a_translation_that_reaches_the_limit_goes_on(num_tokens: int, options: dict[str, Any]) -> None:
    (plain,) = await bench(num_tokens).plain(SENTENCE, **options)
    assert (plain.text, plain.finish_reason) == (text_of(num_tokens), "stop")
    assert [each.text for each in plain.hypotheses] == [plain.text] * options.get("num_hypotheses", 1)
    assert plain.score == pytest.approx(-0.5)
    events = await bench(num_tokens).events(SENTENCE, **options)
    assert [each for each in events if isinstance(each, Translation)] == [plain]
    assert "".join(each.text for each in events if isinstance(each, TokenEvent)) == plain.text


async def test_first_legs_go_on_before_second_ones_begin() -> None:
    going_on = bench(90)
    await going_on.plain(SENTENCE, source="de", targets=("fr",), max_new_tokens=10)
    first, rest, *second = going_on.engine.specs
    assert first.source_ids == rest.source_ids
    assert rest.decoder_prompt[-1] == FIRST + LIMIT - 1
    assert all(spec.source_ids != first.source_ids for spec in second)


async def test_usage_counts_all_tokens_and_the_source_once() -> None:
    short, long = await bench(20).start(SENTENCE), await bench(100).start(SENTENCE)
    await asyncio.gather(short.drain(), long.drain())
    assert long.usage.source_tokens == short.usage.source_tokens
    assert long.usage.encoder_cache_misses + long.usage.encoder_cache_hits == 1
    assert (short.usage.generated_tokens, long.usage.generated_tokens) == (21, 101)


async def test_a_limit_of_the_client_ends_a_translation() -> None:
    (translation,) = await bench(100).plain(SENTENCE, max_new_tokens=50)
    assert (translation.text, translation.finish_reason) == (text_of(50), "length")


async def test_a_translation_many_times_longer_than_its_source_ends_as_a_repetition() -> None:
    running_on = bench(10_000)
    (translation,) = await running_on.plain("One.")
    assert translation.finish_reason == "repetition"
    assert len(running_on.engine.specs) <= 3


@pytest.mark.parametrize(
    ("source", "repetition_guard", "goes_on"),
    [("a b c d e f g h i j", True, False), ("a b c d e f g h i j", False, True), ("ha " * 20, True, True)],
)
async def test_a_translation_repeats_itself_no_longer_than_its_source(
    source: str, repetition_guard: bool, goes_on: bool
) -> None:
    def script(spec: DecodeSpec) -> list[list[int]]:
        return [([FIRST, FIRST + 1] * LIMIT)[: spec.max_new_tokens]]

    looping = Bench(FakeEngine(script), models=[replace(bundled_model(), max_new_tokens=LIMIT)])
    (translation,) = await looping.plain(source, repetition_guard=repetition_guard)
    assert translation.finish_reason == "repetition"
    assert (len(looping.engine.specs) > 1) == goes_on


@pytest.mark.parametrize("period", [1, 3])
async def test_a_translation_whose_decodes_recur_ends_as_a_repetition(period: int) -> None:
    limit = 16

    def script(spec: DecodeSpec) -> list[list[int]]:
        after = spec.decoder_prompt[-1]
        start = (after - FIRST) // limit + 1 if FIRST <= after < FIRST + period * limit else 0
        return [
            list(range(FIRST + start % period * limit, FIRST + (start % period + 1) * limit))[-spec.max_new_tokens :]
        ]

    recurring = Bench(FakeEngine(script), models=[replace(bundled_model(), max_new_tokens=limit)])
    (translation,) = await recurring.plain("ha " * 30)
    assert translation.finish_reason == "repetition"
    assert len(recurring.engine.specs) == period + 1


async def test_a_forced_prefix_and_the_words_it_forces_go_on_side_by_side() -> None:
    both = bench(90)
    prefix = text_of(3)
    (translation,) = await both.plain(f"{SENTENCE}\n{SENTENCE}", prefix=prefix)
    assert translation.finish_reason == "stop"
    assert len(set(both.engine.specs)) == len(both.engine.specs) == 4


@pytest.mark.parametrize(("limit", "num_pieces"), [(256, 146), (64, 36), (16, 32), (2_000, 510)])
async def test_a_sentence_is_cut_so_that_its_translation_fits(limit: int, num_pieces: int) -> None:
    cutting = Bench(models=[replace(bundled_model(), max_new_tokens=limit)])
    await cutting.start("word " * 1_000)
    longest = max(len(spec.source_ids) - 2 for spec in cutting.engine.specs)
    assert num_pieces * 0.7 <= longest <= num_pieces


async def test_a_sentence_is_not_cut_for_a_limit_of_the_client() -> None:
    cutting = Bench()
    await cutting.start("word " * 400, max_new_tokens=20)
    assert len(cutting.engine.specs) == 1
