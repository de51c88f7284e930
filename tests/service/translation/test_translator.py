"""Refusals precede the work, and admitted work matches the request."""

import asyncio
import gc
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from model.tokenizers.base import SourceFrame
from service.errors import (
    DeadlineExceededError,
    EngineFailedError,
    NotReadyError,
    QueueFullError,
    TooLargeError,
    UnsupportedLanguageError,
    UnsupportedOptionError,
)
from service.translation.request import TranslationRequest
from service.translation.translator import INLINE_CHARACTERS
from tests.support.fake_engine import EOS, FakeEngine
from tests.support.translator_bench import Bench, bundled_model

LONG = "Some words. " * INLINE_CHARACTERS


async def test_a_prepared_translation_shows_its_route_and_sentences_before_it_is_submitted() -> None:
    bench = Bench()
    prepared = await bench.translator.prepare(TranslationRequest(("Eins. Zwei.",), "de", ("en", "fr")))
    direct, through = prepared.target_texts
    assert (direct.route.pivot_lang, through.route.pivot_lang) == (None, "en")
    assert len(direct.sentences) == len(through.sentences) == 2
    assert prepared.models == ["bundled"]
    assert not bench.engine.subscriptions


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"beam_size": 9}, UnsupportedOptionError, "beam_size is 9; the limit of this server is 8"),
        ({"max_new_tokens": 257}, UnsupportedOptionError, "max_new_tokens is 257; the limit is 256 a sentence"),
        ({"prefix": "eins zwei " * 200}, UnsupportedOptionError, "prefix has .* tokens; the limit is 255"),
        ({"model": "zz"}, UnsupportedOptionError, "model 'zz' is not served; there are bundled"),
        ({"target_langs": ("de", "zz")}, UnsupportedLanguageError, "target_lang 'zz' cannot be reached from 'en'"),
        ({"source_lang": "zz"}, UnsupportedLanguageError, "source_lang 'zz' is not one of"),
    ],
)
async def test_an_option_that_is_not_served_is_refused_by_name(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    request = replace(TranslationRequest((LONG,), "en", ("de",)), **change)
    with pytest.raises(error, match=message):
        await Bench().translator.prepare(request)


async def test_a_preparation_that_takes_longer_than_the_deadline_is_stopped_without_a_log() -> None:
    logged: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logged.append(context))
    translator, request = Bench().translator, TranslationRequest((LONG,), "en", ("de",))
    with pytest.raises(DeadlineExceededError):
        await translator.prepare(request, deadline=0.0)
    await translator.prepare(request)  # by its end, the first one has stopped
    gc.collect()
    assert not logged


async def test_a_prefix_without_room_is_refused_before_the_first_leg() -> None:
    with pytest.raises(UnsupportedOptionError, match="prefix has"):
        await Bench().start("Eins.", source="de", targets=("fr",), prefix="un deux " * 200)


async def test_a_prefix_starts_the_first_sentence_on_its_last_leg_only() -> None:
    for source, targets in (("en", ("de",)), ("de", ("fr",))):
        bench = Bench()
        (translation,) = await bench.plain("Da. Da.", source=source, targets=targets, prefix="Nun")
        assert translation.text == "Nun Da. Da."
        prompts = {spec.decoder_prompt for spec in bench.engine.specs if len(spec.decoder_prompt) > 2}
        assert len(prompts) == 1


async def test_before_a_worker_has_loaded_and_with_a_full_queue_a_request_is_refused() -> None:
    bench = Bench()
    prepared = await bench.translator.prepare(TranslationRequest(("One.",), "en", ("de",)))
    bench.engine.is_full = True
    with pytest.raises(QueueFullError):
        bench.translator.submit(prepared, deadline=1.0)
    bench.engine.is_ready = False
    with pytest.raises(NotReadyError):
        await bench.start("One.")


@pytest.mark.parametrize("text", ["雨。" * 24_900, "雨" * 49_800, "雨\n" * 24_900], ids=["sentences", "word", "lines"])
async def test_source_tokens_over_the_limit_are_refused_without_the_rest_of_the_work(text: str) -> None:
    counted: list[int] = []
    model = bundled_model()

    def piece_ids(piece: str) -> list[int]:
        counted.append(len(piece))
        return model.tokenizer.piece_ids(piece)

    counting = replace(model, tokenizer=replace(model.tokenizer, piece_ids=piece_ids))
    bench = Bench(FakeEngine(max_queue_tokens=1000), models=[counting])
    with pytest.raises(TooLargeError, match="more than 1000 source tokens over all targets; the limit is 1000"):
        await bench.start(text, source="ja", targets=("en",))
    assert sum(counted) <= len(text)
    assert bench.engine.num_prepared == 0


async def test_source_tokens_count_for_each_target_and_each_equal_sentence() -> None:
    alone = await Bench().start("One. One.")
    num_tokens = alone.usage.source_tokens
    targets = ("de", "fr", "es")
    await Bench(FakeEngine(max_queue_tokens=3 * num_tokens)).start("One. One.", targets=targets)
    with pytest.raises(TooLargeError):
        await Bench(FakeEngine(max_queue_tokens=3 * num_tokens - 1)).start("One. One.", targets=targets)


async def test_a_frame_may_depend_on_the_target() -> None:
    model = bundled_model()
    frames = {"en": {"de": SourceFrame((7,), (EOS,)), "fr": SourceFrame((8, 9), (EOS,))}}
    multi = replace(model, tokenizer=replace(model.tokenizer, frames=frames))
    bench = Bench(models=[multi])
    await bench.plain("One.", targets=("de", "fr"))
    pieces = tuple(model.tokenizer.piece_ids("One."))
    assert [spec.source_ids for spec in bench.engine.specs] == [(7, *pieces, EOS), (8, 9, *pieces, EOS)]


async def test_cancelling_stops_the_work_in_the_threads_and_drops_what_waits() -> None:
    model, is_running, may_go_on = bundled_model(), threading.Event(), threading.Event()
    tokenized: list[str] = []
    others = set(threading.enumerate())

    def piece_ids(piece: str) -> list[int]:
        tokenized.append(piece)
        is_running.set()
        may_go_on.wait(10)
        return model.tokenizer.piece_ids(piece)

    slow = replace(model, tokenizer=replace(model.tokenizer, piece_ids=piece_ids))
    bench = Bench(models=[slow])
    text = " ".join(f"Sentence number {number}." for number in range(INLINE_CHARACTERS))
    tasks = [asyncio.create_task(bench.start(text)) for _ in range(8)]
    await asyncio.to_thread(is_running.wait, 10)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    may_go_on.set()
    bench.translator.close()
    assert all(task.cancelled() for task in tasks)
    assert await end(set(threading.enumerate()) - others)
    assert len(tokenized) <= 4


async def end(threads: Iterable[threading.Thread]) -> bool:
    """Whether those that prepare requests end."""
    preparing = [thread for thread in threads if thread.name.startswith("prepare")]
    for thread in preparing:
        await asyncio.to_thread(thread.join, 10)
    return not any(thread.is_alive() for thread in preparing)


async def test_a_decode_that_fails_fails_the_request() -> None:
    with pytest.raises(EngineFailedError, match="a step failed"):
        await Bench(FakeEngine(failure="a step failed")).plain("One.")


async def test_closing_closes_the_subscription_with_its_linger() -> None:
    bench = Bench()
    active = await bench.start("One.")
    active.close(linger_seconds=0.5)
    assert bench.engine.subscriptions[0].linger_seconds == 0.5


async def test_submitting_hands_on_priority_streaming_deadline_and_cacheability() -> None:
    bench = Bench()
    await bench.events("One.", priority="bulk", is_cacheable=False)
    assert bench.engine.submitted == [{"client": "", "priority": "bulk", "is_streamed": True, "deadline": 1e9}]
    assert list(bench.engine.subscriptions[0].specs.values()) == [False]


async def test_second_legs_are_streamed_and_first_legs_come_whole() -> None:
    bench = Bench()
    await bench.events("Eins.", source="de", targets=("fr",), priority="bulk")
    first, second = bench.engine.submitted
    assert first == {"client": "", "priority": "bulk", "is_streamed": False, "deadline": 1e9}
    assert second == {"is_streamed": True}


async def test_the_pace_is_observed_for_streams_only() -> None:
    bench = Bench()
    await bench.plain("One two three four.")
    assert not bench.pace.first
    await bench.events("One two three four five six.", "Seven eight nine.")
    assert len(bench.pace.first) == 1
    assert all(seconds >= 0 for seconds in [*bench.pace.first, *bench.pace.following])
