"""DeepL's API: what is served, what is ignored, what is refused by name."""

from typing import Any

import pytest

from tests.support.asgi import call, post
from tests.support.scripted_app import ScriptedApp, scripted_app

GOOD = {"text": ["Hello"], "source_lang": "EN", "target_lang": "DE"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def translate(served: ScriptedApp, **fields: Any) -> list[dict[str, Any]]:
    answer = await post(served.app, "/v2/translate", GOOD | fields)
    assert answer.status == 200, answer.body
    (translations,) = answer.json.values()
    return list(translations)


async def test_an_answer_has_the_language_and_the_code_points_of_each_text(scripted: ScriptedApp):
    first, second = await translate(scripted, text=["👩‍🚀\n", ""], source_lang="en-gb")
    assert first == {"detected_source_language": "EN-GB", "text": "👩‍🚀\n", "billed_characters": 4}
    assert second == {"detected_source_language": "EN-GB", "text": "", "billed_characters": 0}
    (detected,) = await translate(scripted, text="Ich sehe einen Hund.", source_lang=None)
    assert (detected["detected_source_language"], detected["text"]) == ("DE", "Ich sehe einen Hund.")


@pytest.mark.parametrize("target_lang", ["EN-US", "EN-GB", "en-us", "EN", "ES-419", "JA"])
async def test_a_target_is_a_language_or_a_region_of_one(scripted: ScriptedApp, target_lang: str):
    assert (await translate(scripted, source_lang="FR", target_lang=target_lang))[0]["text"] == "Hello"


@pytest.mark.parametrize(
    "ignored",
    [
        {"debug": "1"},
        {"context": "A greeting."},
        {"preserve_formatting": "1", "show_billed_characters": 0},
        {"formality": "prefer_more"},
        {"formality": "default", "split_sentences": "1"},
        {"split_sentences": "nonewlines"},
        {"split_sentences": 1, "outline_detection": "0", "non_splitting_tags": ["b"], "tag_handling_version": "v2"},
        {"glossary_id": "", "glossary_ids": [], "style_id": None, "enable_beta_languages": True},
        {"formality": None, "split_sentences": None, "preserve_formatting": None, "model_type": None},
    ],
)
async def test_hints_and_unknown_fields_pass(scripted: ScriptedApp, ignored: dict[str, Any]):
    assert (await translate(scripted, **ignored))[0]["text"] == "Hello"


@pytest.mark.parametrize(
    ("asked", "used"),
    [
        ("quality_optimized", "quality_optimized"),
        ("latency_optimized", "latency_optimized"),
        ("prefer_quality_optimized", "quality_optimized"),
    ],
)
async def test_a_model_type_that_was_asked_for_is_said_to_be_used(scripted: ScriptedApp, asked: str, used: str):
    assert (await translate(scripted, model_type=asked))[0]["model_type_used"] == used


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": []}, "Parameter 'text' not specified."),
        ({"text": [1]}, "Value for 'text' not supported."),
        ({"text": None}, "Parameter 'text' not specified."),
        ({"target_lang": None}, "Parameter 'target_lang' not specified."),
        ({"target_lang": ""}, "Parameter 'target_lang' not specified."),
        ({"target_lang": "PT-BR"}, "Value for 'target_lang' not supported."),
        ({"target_lang": "X" * 1_000}, "Value for 'target_lang' not supported."),
        ({"source_lang": "XX"}, "Value for 'source_lang' not supported."),
        ({"split_sentences": "2"}, "Value for 'split_sentences' not supported."),
        ({"tag_handling": "markdown"}, "Value for 'tag_handling' not supported."),
        ({"tag_handling": "xml", "ignore_tags": ["x"]}, "Value for 'ignore_tags' not supported."),
        ({"tag_handling": "xml", "text": ["<a>b"]}, "the text is not well-formed XML: mismatched tag"),
        ({"formality": "rude"}, "Value for 'formality' not supported."),
        ({"model_type": "best"}, "Value for 'model_type' not supported."),
        ({"glossary_id": 1}, "Value for 'glossary_id' not supported."),
        ({"glossary_ids": ["1"]}, "Value for 'glossary_ids' not supported."),
        ({"style_id": "1"}, "Value for 'style_id' not supported."),
        ({"translation_memory_id": "1"}, "Value for 'translation_memory_id' not supported."),
        ({"custom_instructions": ["Be kind."]}, "Value for 'custom_instructions' not supported."),
    ],
)
async def test_what_would_change_the_text_is_refused_by_name(
    scripted: ScriptedApp, changes: dict[str, Any], message: str
):
    answer = await post(scripted.app, "/v2/translate", GOOD | changes)
    assert (answer.status, answer.json["message"]) == (400, message)


async def test_formality_names_the_target_language(scripted: ScriptedApp):
    answer = await post(scripted.app, "/v2/translate", GOOD | {"formality": "more"})
    assert answer.json["message"].startswith("Target language DE does not support formality more")


async def test_a_form_has_its_texts_in_order(scripted: ScriptedApp):
    body = b"text=One&text=Two&source_lang=EN&target_lang=DE&preserve_formatting=1&tag_handling="
    answer = await call(scripted.app, "POST", "/v2/translate", body=body, headers=FORM)
    assert [each["text"] for each in answer.json["translations"]] == ["One", "Two"]


async def test_targets_are_listed_by_region_and_sources_are_not(scripted: ScriptedApp):
    sources = (await call(scripted.app, "GET", "/v2/languages")).json
    assert sources[0] == {"language": "EN", "name": "English"}
    for query, body in ((b"type=target", b""), (b"", b"type=target")):
        targets = (await call(scripted.app, "GET", "/v2/languages", query=query, body=body, headers=FORM)).json
        assert {each["language"] for each in targets} == {"EN-GB", "EN-US", "DE", "FR", "ES", "JA"}
        assert all(each["supports_formality"] is False for each in targets)
    answer = await call(scripted.app, "GET", "/v2/languages", query=b"type=both")
    assert (answer.status, answer.json["message"]) == (400, "Value for 'type' not supported.")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_usage_counts_what_was_billed_to_each_key(method: str):
    served = scripted_app(api_keys="alice:a-key:fx,bob:b-key:fx")
    alice, bob = ({"authorization": f"DeepL-Auth-Key {name}-key:fx"} for name in "ab")
    for text in (["Hello", "😀"], ["😀"]):
        await post(served.app, "/v2/translate", GOOD | {"text": text}, **alice)
    assert (await post(served.app, "/v2/translate", GOOD | {"target_lang": "XX"}, **alice)).status == 400
    counts = [(await call(served.app, method, "/v2/usage", headers=key)).json for key in (alice, bob)]
    assert [each["character_count"] for each in counts] == [7, 0]
    assert all(each["character_limit"] == 10**12 for each in counts)


@pytest.mark.parametrize("credentials", ["Bearer a-key", "a-key", "DeepL-Auth-Key", "DeepL-Auth-Key A-KEY"])
async def test_a_key_under_another_scheme_is_refused(credentials: str):
    served = scripted_app(api_keys="alice:a-key")
    for path in ("/v2/usage", "/v2/languages", "/v2/glossaries"):
        assert (await call(served.app, "GET", path, headers={"authorization": credentials})).status == 403


@pytest.mark.parametrize("tag_handling", ["html", "xml"])
async def test_tags_are_kept_and_not_billed(scripted: ScriptedApp, tag_handling: str):
    text = '<p><x id="1">Good morning</x> &amp;</p>'
    answer = await post(scripted.app, "/v2/translate", GOOD | {"text": [text], "tag_handling": tag_handling})
    (translation,) = answer.json["translations"]
    assert (translation["text"], translation["billed_characters"]) == (text, len("Good morning &"))
