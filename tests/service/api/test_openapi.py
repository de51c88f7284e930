"""Law: OpenAPI describes the actual answers, and every request that it allows gets a documented answer."""

from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from tests.support.asgi import call
from tests.support.documented_answers import (
    DETECT,
    EXPLAIN,
    STREAM,
    TRANSLATE,
    bodies,
    check_body,
    check_query,
    queries,
)
from tests.support.scripted_app import ScriptedApp, scripted_app

LANGUAGE = st.sampled_from(["de", "fr", "de-DE", "DE"])
TEXTS = st.sampled_from(["Hello", "One.\nTwo.", "x" * 1_500, "\u3042\u0301 👩\u200d👩\u200d👧"])
SENSIBLE: dict[str, st.SearchStrategy[Any]] = {
    "text": st.one_of(TEXTS, st.lists(TEXTS, min_size=1, max_size=3)),
    "source_lang": st.sampled_from(["en", None]),
    "target_lang": st.one_of(LANGUAGE, st.lists(LANGUAGE, min_size=1, max_size=3)),
    "model": st.none(),
    "timeout_s": st.sampled_from([0.001, 10.0]),
    "max_new_tokens": st.integers(1, 256),
    "beam_size": st.just(1),
    "num_hypotheses": st.just(1),
    "format": st.just("text"),
    "prefix": st.none(),
    "return": st.lists(st.sampled_from(["tokens", "alignment", "top_tokens"]), max_size=3),
}
BEAMS = (
    SENSIBLE
    | {name: st.none() for name in ("temperature", "top_k", "top_p", "seed")}
    | {"beam_size": st.integers(1, 8)}
)
SENSIBLE_TO_EXPLAIN = {name: SENSIBLE[name] for name in ("model", "timeout_s", "max_new_tokens")} | {
    "source_lang": st.just("en"),
    "text": TEXTS,
    "target_lang": LANGUAGE,
}
SERVED = scripted_app(max_queue_tokens=400)
"""One for all examples, which must not leave anything to each other; small, so that limits are met, too."""


@pytest.fixture
def document(scripted: ScriptedApp) -> dict[str, Any]:
    return scripted.app.openapi()


@settings(max_examples=150, deadline=None)
@given(body=st.one_of([bodies(SERVED.app, TRANSLATE, **known) for known in (SENSIBLE, BEAMS, {})]))
async def test_every_body_that_the_schema_allows_gets_a_documented_answer(body: dict[str, Any]):
    event(str((await check_body(SERVED.app, TRANSLATE, body)).status))
    assert SERVED.is_idle()


@settings(max_examples=100, deadline=None)
@given(query=st.one_of([queries(SERVED.app, STREAM, **known) for known in (SENSIBLE, BEAMS, {})]))
async def test_every_query_that_the_schema_allows_gets_a_documented_answer(query: bytes):
    event(str((await check_query(SERVED.app, STREAM, query)).status))
    assert SERVED.is_idle()


@settings(max_examples=100, deadline=None)
@given(body=st.one_of([bodies(SERVED.app, EXPLAIN, **known) for known in (SENSIBLE_TO_EXPLAIN, {})]))
async def test_every_explanation_that_the_schema_allows_gets_a_documented_answer(body: dict[str, Any]):
    event(str((await check_body(SERVED.app, EXPLAIN, body)).status))
    assert SERVED.is_idle()


@settings(max_examples=50, deadline=None)
@given(body=st.one_of([bodies(SERVED.app, DETECT, **known) for known in ({"text": SENSIBLE["text"]}, {})]))
async def test_every_detection_that_the_schema_allows_gets_a_documented_answer(body: dict[str, Any]):
    event(str((await check_body(SERVED.app, DETECT, body)).status))
    assert SERVED.is_idle()


def test_all_routes_are_described(document: dict[str, Any]):
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {
        ("POST", TRANSLATE),
        ("GET", STREAM),
        ("POST", EXPLAIN),
        ("POST", DETECT),
        ("GET", "/v1/languages"),
        ("GET", "/v1/models"),
        ("GET", "/health/live"),
        ("GET", "/health/ready"),
        ("GET", "/metrics"),
        ("POST", "/translate"),
        ("POST", "/detect"),
        ("GET", "/languages"),
        ("GET", "/frontend/settings"),
        ("GET", "/health"),
        ("POST", "/v2/translate"),
        ("GET", "/v2/languages"),
        ("GET", "/v2/usage"),
        ("POST", "/v2/usage"),
        ("POST", "/v2/glossaries"),
        ("GET", "/v2/glossaries"),
        ("GET", "/v2/glossaries/{glossary_id}"),
        ("DELETE", "/v2/glossaries/{glossary_id}"),
        ("GET", "/v2/glossaries/{glossary_id}/entries"),
        ("GET", "/v2/glossary-language-pairs"),
        ("POST", "/"),
        ("POST", "/generate"),
        ("POST", "/generate_stream"),
        ("GET", "/info"),
        ("GET", "/"),
    }


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("post", TRANSLATE, {"200", "400", "413", "415", "422", "429", "431", "500", "503", "504"}),
        ("get", STREAM, {"200", "400", "413", "422", "429", "431", "500", "503", "504"}),
        ("post", EXPLAIN, {"200", "400", "413", "415", "422", "429", "431", "500", "503", "504"}),
        ("post", DETECT, {"200", "400", "413", "415", "422", "429", "431", "500", "503"}),
        ("get", "/health/ready", {"200", "400", "413", "431", "500", "503"}),
        ("get", "/v1/models", {"200", "400", "413", "431", "500"}),
    ],
)
def test_every_status_but_200_is_a_problem(document: dict[str, Any], method: str, path: str, statuses: set[str]):
    responses = document["paths"][path][method]["responses"]
    assert set(responses) == statuses
    for status, response in responses.items():
        assert response["description"]
        if status != "200":
            assert list(response["content"]) == ["application/problem+json"]
            assert ("Retry-After" in response["headers"]) == (status in ("429", "503"))


def test_a_text_of_a_translation_may_be_null(document: dict[str, Any]):
    text = document["components"]["schemas"]["Translation"]["properties"]["text"]
    assert text == {"anyOf": [{"type": "string"}, {"type": "null"}]}


def test_streams_are_described_as_such(document: dict[str, Any]):
    content = {path: document["paths"][path] for path in (TRANSLATE, STREAM)}
    assert set(content[TRANSLATE]["post"]["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert set(content[STREAM]["get"]["responses"]["200"]["content"]) == {"text/event-stream"}


def test_every_reference_leads_somewhere_and_nothing_is_left_over(document: dict[str, Any]):
    found: set[str] = set()

    def look(value: Any) -> None:
        if isinstance(value, dict):
            found.update(name for key, name in value.items() if key == "$ref")
            for each in value.values():
                look(each)
        elif isinstance(value, list):
            for each in value:
                look(each)

    look(document)
    assert found == {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert "HTTPValidationError" not in str(document)


async def test_listings_and_health_are_as_described(scripted: ScriptedApp):
    for path in ("/v1/languages", "/v1/models", "/health/live", "/health/ready"):
        await check_query(scripted.app, path, b"")
    scripted.engine.is_ready = False
    assert (await check_query(scripted.app, "/health/ready", b"")).status == 503


async def test_the_pages_of_the_documentation_are_served(scripted: ScriptedApp):
    assert (await call(scripted.app, "GET", "/docs")).status == 200
    assert (await call(scripted.app, "GET", "/openapi.json")).json == scripted.app.openapi()
