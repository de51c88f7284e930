"""A long stream is submitted while its last sentences are still text, and no refusal comes later for that."""

import asyncio
import gc
from typing import Any

import pytest

from service.errors import EngineFailedError, QueueFullError, TooLargeError
from service.translation.preparation import PARTS_AT_ONCE, Preparation, PreparationCancelledError
from service.translation.request import TranslationRequest
from service.translation.rest import Rest
from service.translation.results import TokenEvent, Translation
from tests.support.fake_engine import FakeEngine
from tests.support.translator_bench import Bench

LINES = [f"- The {number}. house\thas {{count}} doors. Who lives there? 😀\n" for number in range(60)]
LONG = "".join(LINES)


def request(*texts: str, **options: Any) -> TranslationRequest:
    return TranslationRequest(texts, "en", ("de",), is_streamed=True, **options)


async def test_the_first_sentences_of_a_long_stream_are_prepared_without_the_others() -> None:
    bench = Bench()
    prepared = await bench.translator.prepare(request(LONG))
    assert len(prepared.decodes) == bench.engine.num_prepared == PARTS_AT_ONCE
    assert not prepared.target_texts[0].passage.is_whole


@pytest.mark.parametrize("options", [{}, {"source": "de", "targets": ("en", "fr")}, {"beam_size": 4}], ids=str)
async def test_deltas_of_a_long_stream_join_to_the_plain_answer(options: dict[str, Any]) -> None:
    texts = (LONG, "One. Two.", LONG[:1_500])
    plain = await Bench().plain(*texts, **options)
    events = await Bench(FakeEngine(seed=7)).events(*texts, **options)
    texts_of = {(each.text_index, each.target_lang): each.text for each in plain}
    streamed = [each for each in events if isinstance(each, Translation)]
    assert {(each.text_index, each.target_lang): each.text for each in streamed} == texts_of
    deltas = dict.fromkeys(texts_of, "")
    for each in events:
        if isinstance(each, TokenEvent):
            deltas[each.text_index, each.target_lang] += each.text
    assert deltas == texts_of


async def test_equal_sentences_of_a_long_stream_share_a_decode() -> None:
    bench = Bench()
    await bench.events("The same sentence. Another one.\n" * 100)
    assert len(bench.engine.specs) == 2


async def test_usage_of_a_long_stream_counts_every_sentence() -> None:
    bench = Bench()
    plain, active = await bench.start(LONG), await bench.start(LONG, is_streamed=True)
    await plain.drain()
    while not active.is_over:
        await active.next()
    assert (active.usage.source_tokens, active.usage.generated_tokens) == (
        plain.usage.source_tokens,
        plain.usage.generated_tokens,
    )


async def test_a_long_stream_that_has_ended_leaves_nothing_to_the_garbage_collector() -> None:
    bench = Bench()
    gc.collect()
    gc.disable()
    try:
        await bench.events(LONG)
        async with asyncio.timeout(10):  # the thread forgets it a moment after the last part
            while any(type(each) is Preparation for each in gc.get_objects()):
                await asyncio.sleep(0.01)
    finally:
        gc.enable()


async def test_a_stream_of_unknown_size_is_prepared_as_a_whole() -> None:
    prepared = await Bench().translator.prepare(request(LONG, with_tokens=True))
    assert prepared.rest is None
    assert prepared.target_texts[0].passage.is_whole


async def test_a_stream_that_may_exceed_a_limit_is_refused_before_anything_is_submitted() -> None:
    bench = Bench(FakeEngine(max_queue_tokens=500))
    with pytest.raises(TooLargeError, match="more than 500 source tokens"):
        await bench.start(LONG, is_streamed=True)
    assert not bench.engine.subscriptions


async def test_a_full_queue_stops_the_preparation_of_the_rest() -> None:
    bench = Bench()
    bench.engine.is_full = True
    prepared = await bench.translator.prepare(request(LONG * 8))
    with pytest.raises(QueueFullError):
        bench.translator.submit(prepared, deadline=1e9)
    assert prepared.rest is not None
    assert await num_parts(prepared.rest) < 8 * 5 * len(LINES)


async def test_a_closed_stream_stops_the_preparation_of_the_rest() -> None:
    bench = Bench()
    prepared = await bench.translator.prepare(request(LONG * 8))
    bench.translator.submit(prepared, deadline=1e9).close()
    assert prepared.rest is not None
    assert await num_parts(prepared.rest) < 8 * 5 * len(LINES)
    assert bench.engine.num_prepared == PARTS_AT_ONCE


async def test_an_error_of_the_engine_in_the_rest_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    active = await bench.start(LONG, is_streamed=True)

    def extend(*_: object, **__: object) -> None:
        raise EngineFailedError("refused for a while")

    monkeypatch.setattr(bench.engine, "extend", extend)
    with pytest.raises(EngineFailedError, match="refused for a while"):
        await active.drain()


async def num_parts(rest: Rest) -> int:
    """Take what comes until the preparation is cancelled."""
    news = asyncio.Event()
    rest.watch(news.set)
    taken = 0
    try:
        while True:
            while not rest.has_news:
                await news.wait()
                news.clear()
            taken += len(rest.take())
    except PreparationCancelledError:
        return taken
