"""A source language that is not named is detected for each text; a text in the target's language stays as it is."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from model.tokenizers.base import SourceFrame
from service.errors import TooLargeError, UnsupportedLanguageError
from service.text.language_detector import DetectedLanguage, LanguageDetector
from service.translation.results import TokenEvent, Translation
from tests.support.detectors import BUNDLED_LANGUAGES
from tests.support.translator_bench import Bench, bundled_model

ENGLISH, GERMAN, FRENCH = "The train leaves at seven.", "Das weiß ich nicht.", "Je ne suis pas sourd."


async def test_each_text_is_detected_by_itself() -> None:
    found = await Bench().plain(ENGLISH, GERMAN, "犬を見かけました。", source=None, targets=("fr",))
    assert [(each.detected_source_lang, each.pivot_lang) for each in found] == [
        ("en", None),
        ("de", "en"),
        ("ja", "en"),
    ]
    assert all(0.5 < (each.detected_confidence or 0) <= 1 for each in found)


async def test_a_named_language_is_not_detected() -> None:
    (translation,) = await Bench().plain(GERMAN, source="en")
    assert (translation.detected_source_lang, translation.detected_confidence) == (None, None)


async def test_a_text_without_letters_is_taken_for_english_without_confidence() -> None:
    (translation,) = await Bench().plain("😀 123 – 5", source=None)
    assert (translation.detected_source_lang, translation.detected_confidence) == ("en", 0.0)


@pytest.mark.parametrize("source", ["de", None])
@pytest.mark.parametrize("target", ["de", "DE", "de-AT"])
async def test_a_text_in_the_language_of_its_target_comes_back_as_it_is(source: str | None, target: str) -> None:
    bench = Bench()
    text = f"  {GERMAN}\n\n\tUnd?\u2028"
    active = await bench.start(text, source=source, targets=(target,), beam_size=4, num_hypotheses=2)
    (translation,) = await active.drain()
    assert (translation.text, translation.target_lang, translation.finish_reason) == (text, target, "stop")
    assert [each.text for each in translation.hypotheses] == [text]
    assert (active.usage.characters, active.usage.source_tokens, active.usage.generated_tokens) == (len(text), 0, 0)
    assert (active.models, bench.engine.specs) == (["bundled"], [])


async def test_a_stream_yields_a_text_that_stays_as_it_is_in_its_place() -> None:
    events = await Bench().events(ENGLISH, GERMAN, source=None, targets=("de", "en"))
    translations = sorted(
        (each for each in events if isinstance(each, Translation)), key=lambda each: (each.text_index, each.target_lang)
    )
    assert [each.text for each in translations] == [ENGLISH, ENGLISH, GERMAN, GERMAN]
    assert [each.detected_source_lang for each in translations] == ["en", "en", "de", "de"]
    for each in translations:
        place = (each.text_index, each.target_lang)
        tokens = [event for event in events if isinstance(event, TokenEvent)]
        assert "".join(event.text for event in tokens if (event.text_index, event.target_lang) == place) == each.text


async def test_without_a_target_each_text_goes_into_the_first_language_that_is_not_its_own() -> None:
    found = await Bench().plain(ENGLISH, FRENCH, source=None, targets=())
    assert [(each.detected_source_lang, each.target_lang) for each in found] == [("en", "de"), ("fr", "en")]
    (named,) = await Bench().plain(ENGLISH, source="de", targets=())
    assert named.target_lang == "en"


async def test_detection_is_restricted_to_the_languages_of_the_model_that_is_named() -> None:
    model = bundled_model()
    frames = {"de": {"en": SourceFrame()}, "fr": {"en": SourceFrame()}}
    small = replace(model, checkpoint=replace(model.checkpoint, name="small"))
    small = replace(small, tokenizer=replace(model.tokenizer, frames=frames))
    bench = Bench(models=[model, small])
    (translation,) = await bench.plain(ENGLISH, source=None, targets=("en",), model="small")
    assert translation.detected_source_lang in ("de", "fr")


async def test_a_detected_language_that_does_not_reach_the_target_is_named() -> None:
    with pytest.raises(UnsupportedLanguageError, match="target_lang 'zz' cannot be reached from 'de'"):
        await Bench().start(GERMAN, source=None, targets=("zz",))


async def test_texts_that_stay_as_they_are_count_towards_the_size_of_the_answer() -> None:
    with pytest.raises(TooLargeError, match="the answer would have more than 1000 bytes"):
        await Bench(max_answer_bytes=1_000).start(GERMAN * 20, source="de", targets=("de",))


async def test_the_detector_is_loaded_beside_the_event_loop() -> None:
    detector = RecordingDetector(BUNDLED_LANGUAGES)
    bench = Bench(detector=detector)
    for _ in range(2):
        await bench.start(GERMAN, source=None, targets=("en",))
    assert detector.was_on_loop == [False, True]


class RecordingDetector(LanguageDetector):
    def __init__(self, codes: Sequence[str]) -> None:
        super().__init__(codes)
        self.was_on_loop: list[bool] = []

    def detect(self, text: str, *, among: Sequence[str]) -> DetectedLanguage:
        self.was_on_loop.append(threading.current_thread() is threading.main_thread())
        return super().detect(text, among=among)
