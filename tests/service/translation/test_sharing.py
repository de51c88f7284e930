"""Equal sentences of one request are one decode, and still counted as sentences."""

from dataclasses import replace

import pytest

from tests.support.fake_engine import FakeEngine
from tests.support.translator_bench import Bench, bundled_model


async def test_equal_sentences_are_one_decode_for_each_language() -> None:
    bench = Bench()
    translations = await bench.plain("One. Two.\nOne.", "Two.", targets=("de", "fr"))
    assert [each.text for each in translations] == ["One. Two.\nOne."] * 2 + ["Two."] * 2
    assert len(bench.engine.specs) == 4


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_usage_counts_every_sentence_and_equal_ones_as_hits(is_streamed: bool) -> None:
    bench = Bench()
    alone = await bench.start("One.")
    await alone.drain()
    active = await Bench().start("One.\nOne.\nOne.", "One.", targets=("de", "fr"), is_streamed=is_streamed)
    await active.drain()
    assert active.usage.source_tokens == 8 * alone.usage.source_tokens
    assert active.usage.generated_tokens == 8 * alone.usage.generated_tokens
    assert (active.usage.encoder_cache_misses, active.usage.encoder_cache_hits) == (1, 7)
    assert active.usage.characters == len("One.\nOne.\nOne.One.")


async def test_codes_of_one_language_share_decodes_and_are_answered_apart() -> None:
    bench = Bench()
    translations = await bench.plain("One.", targets=("de", "de-DE", "DE"))
    assert [each.target_lang for each in translations] == ["de", "de-DE", "DE"]
    assert len(bench.engine.specs) == 1


async def test_a_repeated_code_is_answered_twice_and_streamed_once() -> None:
    assert [each.target_lang for each in await Bench().plain("One.", targets=("de", "fr", "de"))] == ["de", "fr", "de"]
    (translation,) = [
        each for each in await Bench().events("One.", targets=("de", "de")) if hasattr(each, "hypotheses")
    ]
    assert translation.text == "One."


async def test_first_legs_are_shared_by_all_languages_behind_the_pivot() -> None:
    bench = Bench()
    translations = await bench.plain("Eins. Zwei. Eins.", source="de", targets=("fr", "es", "en"))
    assert [each.pivot_lang for each in translations] == ["en", "en", None]
    assert len(bench.engine.specs) == 2 + 2 * 2


async def test_second_legs_that_become_equal_are_one_decode() -> None:
    """The engine refuses a spec that it was given before; the usage counts each sentence on both legs all the same."""
    engine = FakeEngine(lambda spec: [[*spec.source_ids[1:2], 2]])
    active = await Bench(engine).start("Haus eins. Haus zwei. Haus drei.", source="de", targets=("fr",))
    (translation,) = await active.drain()
    assert translation.text == "Haus Haus Haus"
    assert len(engine.specs) == 3 + 1
    assert active.usage.generated_tokens == 3 * 2 + 3 * 2
    assert active.usage.source_tokens == sum(len(spec.source_ids) for spec in [*engine.specs, *engine.specs[-1:] * 2])
    assert active.usage.encoder_cache_hits + active.usage.encoder_cache_misses == 6


async def test_a_sentence_is_cut_and_tokenized_once() -> None:
    seen: list[str] = []
    model = bundled_model()
    tokenizer = replace(model.tokenizer, piece_ids=lambda text: seen.append(text) or model.tokenizer.piece_ids(text))
    await Bench(models=[replace(model, tokenizer=tokenizer)]).plain("One. Two. One.", targets=("de", "fr", "es", "ja"))
    assert sorted(seen) == ["One.", "Two."]
