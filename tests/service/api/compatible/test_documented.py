"""Law: OpenAPI describes the compatible APIs too, and every request that it allows gets an answer that it documents."""

from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.support.asgi import call, post
from tests.support.documented_answers import bodies, check_body, check_documented
from tests.support.scripted_app import ScriptedApp, scripted_app

SERVED = scripted_app(max_queue_tokens=400)
LIMITS = settings(max_examples=60, deadline=None)
TEXTS = st.sampled_from(
    ["Hello", "One.\nTwo.", "", "x" * 1_500, "Guten Morgen, wie geht es?", "\u3042\u0301 👩\u200d👩\u200d👧"]
)
LANGUAGE = st.sampled_from(["de", "FR", "en-GB", "ja"])
NONE = st.none()

LIBRETRANSLATE: dict[str, st.SearchStrategy[Any]] = {
    "q": st.one_of(TEXTS, st.lists(TEXTS, max_size=3)),
    "source": st.sampled_from(["auto", "en"]),
    "target": LANGUAGE,
    "format": st.sampled_from(["text", "html", None]),
}
DEEPL: dict[str, st.SearchStrategy[Any]] = {
    "text": st.lists(TEXTS, max_size=3),
    "target_lang": LANGUAGE,
    "source_lang": st.sampled_from([None, "EN"]),
    "split_sentences": st.sampled_from(["0", "1", "nonewlines"]),
    "formality": st.sampled_from(["default", "prefer_less"]),
    "tag_handling": st.sampled_from([None, "html", "xml"]),
    **dict.fromkeys(("glossary_id", "glossary_ids", "style_id", "translation_memory_id", "custom_instructions"), NONE),
}
GLOSSARY: dict[str, st.SearchStrategy[Any]] = {
    "name": st.sampled_from(["Animals", ""]),
    "source_lang": st.sampled_from(["EN", "de"]),
    "target_lang": LANGUAGE,
    "entries": st.sampled_from(["dog\tHund", "dog,Hund", "", '"']),
}
HUGGINGFACE: dict[str, st.SearchStrategy[Any]] = {
    "inputs": TEXTS,
    "parameters": st.fixed_dictionaries(
        {"src_lang": st.sampled_from([None, "en"]), "tgt_lang": LANGUAGE},
        optional={"details": st.booleans(), "num_beams": st.integers(1, 8), "max_new_tokens": st.integers(1, 256)},
    ),
}


def requests(path: str, known: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Half of them sensible, half of them whatever the schema allows."""
    return st.one_of(bodies(SERVED.app, path, **known), bodies(SERVED.app, path))


@LIMITS
@given(body=requests("/translate", LIBRETRANSLATE))
async def test_every_libretranslate_body_gets_a_documented_answer(body: dict[str, Any]):
    event(str((await check_body(SERVED.app, "/translate", body)).status))
    assert SERVED.is_idle()


@LIMITS
@given(body=requests("/v2/translate", DEEPL))
async def test_every_deepl_body_gets_a_documented_answer(body: dict[str, Any]):
    event(str((await check_body(SERVED.app, "/v2/translate", body)).status))
    assert SERVED.is_idle()


@LIMITS
@given(body=requests("/v2/glossaries", GLOSSARY))
async def test_every_deepl_glossary_gets_a_documented_answer(body: dict[str, Any]):
    event(str((await check_body(SERVED.app, "/v2/glossaries", body)).status))
    assert SERVED.is_idle()


@LIMITS
@given(body=requests("/", HUGGINGFACE), path=st.sampled_from(["/", "/generate", "/generate_stream"]))
async def test_every_huggingface_body_gets_a_documented_answer(body: dict[str, Any], path: str):
    event(str((await check_body(SERVED.app, path, body)).status))
    assert SERVED.is_idle()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/languages"),
        ("get", "/frontend/settings"),
        ("get", "/health"),
        ("get", "/v2/languages"),
        ("get", "/v2/usage"),
        ("post", "/v2/usage"),
        ("get", "/info"),
    ],
)
async def test_listings_are_as_described(scripted: ScriptedApp, method: str, path: str):
    check_documented(scripted.app, method, path, await call(scripted.app, method.upper(), path))


async def test_refusals_are_as_described():
    keyed = scripted_app(api_keys="alice:s3cret")
    for path, status in (("/translate", 400), ("/detect", 400), ("/v2/translate", 403), ("/generate", 401)):
        answer = await post(keyed.app, path, {})
        assert answer.status == status
        assert str(status) in keyed.app.openapi()["paths"][path]["post"]["responses"]
