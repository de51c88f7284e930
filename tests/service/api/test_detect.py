"""Laws of `POST /v1/detect`: what it answers, that it needs no engine, and what it refuses."""

import pytest

from tests.support.asgi import post
from tests.support.scripted_app import ScriptedApp

DETECT = "/v1/detect"


async def test_each_text_has_its_language_and_its_candidates_best_first(scripted: ScriptedApp):
    answer = await post(scripted.app, DETECT, {"text": ["Das weiß ich nicht.", "What time is it?", "犬"]})
    assert answer.status == 200
    found = answer.json["detections"]
    assert [(each["text_index"], each["detected_source_lang"]) for each in found] == [(0, "de"), (1, "en"), (2, "ja")]
    for each in found:
        first, *_ = each["candidates"]
        assert first == {"code": each["detected_source_lang"], "confidence": each["confidence"]}
    assert [candidate["code"] for candidate in found[2]["candidates"]] == ["ja"]


async def test_a_text_in_no_language_is_taken_for_english_without_confidence(scripted: ScriptedApp):
    (found,) = (await post(scripted.app, DETECT, {"text": "😀 123"})).json["detections"]
    assert (found["detected_source_lang"], found["confidence"]) == ("en", 0.0)


async def test_it_is_what_a_translation_detects(scripted: ScriptedApp):
    body = {"text": ["Das weiß ich nicht.", "Tom", "123"]}
    detected = (await post(scripted.app, DETECT, body)).json["detections"]
    translated = (await post(scripted.app, "/v1/translations", body | {"target_lang": "en"})).json["translations"]
    for each, translation in zip(detected, translated, strict=True):
        assert each["detected_source_lang"] == translation["detected_source_lang"]
        assert each["confidence"] == translation["detected_confidence"]


async def test_it_is_answered_before_a_worker_is_ready_and_refused_while_draining(scripted: ScriptedApp):
    scripted.engine.is_ready = False
    assert (await post(scripted.app, DETECT, {"text": "Hallo"})).status == 200
    scripted.lifecycle.start_draining()
    answer = await post(scripted.app, DETECT, {"text": "Hallo"})
    assert (answer.status, answer.json["type"]) == (503, "urn:kakehashi:problem:draining")


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"text": ["Hi."] * 17}, 413, "the request has 17 texts; the limit is 16"),
        ({"text": "x" * 2_001}, 413, "the texts have 2001 characters; the limit is 2000"),
        ({"text": "Hi.", "model": "zz"}, 400, "model 'zz' is not served"),
        ({}, 422, "body.text: Field required"),
        ({"text": []}, 422, "body.text: List should have at least 1 item"),
        ({"text": "Hi.", "target_lang": "de"}, 422, "body.target_lang: Extra inputs are not permitted"),
    ],
)
async def test_what_it_cannot_take_is_refused_by_name(
    scripted: ScriptedApp, body: dict[str, object], status: int, detail: str
):
    answer = await post(scripted.app, DETECT, body)
    assert answer.status == status
    assert detail in answer.json["detail"]
