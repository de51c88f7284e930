"""Laws of the answers: plain and streamed, HEAD, trailing slashes, and options that exclude each other."""

import pytest

from model.search.spec import DecodeSpec
from tests.support.asgi import JSON, Exchange, as_json, call, post
from tests.support.scripted_app import ScriptedApp, scripted_app

TRANSLATE, STREAM = "/v1/translations", "/v1/translations/stream"
BODY = {"text": "Hello", "source_lang": "en", "target_lang": "de"}
QUERY = b"text=Hello&source_lang=en&target_lang=de"


async def test_a_plain_answer_has_no_fields_that_nobody_asked_for(scripted: ScriptedApp):
    answer = await post(scripted.app, TRANSLATE, BODY)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json.keys() == {"id", "model", "translations", "usage"}
    (translation,) = answer.json["translations"]
    assert list(translation) == ["text_index", "target_lang", "text", "score", "finish_reason", "hypotheses"]
    assert answer.json["usage"]["encoder_cache_hits"] == 0, "zeros are no missing fields"


async def test_a_source_language_that_is_not_named_is_detected_plain_and_streamed(scripted: ScriptedApp):
    body = {"text": ["Das weiß ich nicht.", "What time is it?"], "target_lang": "en"}
    plain = (await post(scripted.app, TRANSLATE, body)).json["translations"]
    stream = await post(scripted.app, TRANSLATE, body | {"source_lang": None, "stream": True})
    streamed = [event.data for event in stream.events if event.name == "translation"]
    assert sorted(streamed, key=lambda each: each["text_index"]) == plain
    assert [each["detected_source_lang"] for each in plain] == ["de", "en"]
    assert all(0.5 < each["detected_confidence"] <= 1 for each in plain)
    assert plain[1]["text"] == "What time is it?"


@pytest.mark.parametrize("source", ["en", None])
async def test_a_blank_item_of_a_list_comes_back_as_it_is_in_its_place(scripted: ScriptedApp, source: str | None):
    body = BODY | {"text": ["", "Hello", " \n\t", ""], "source_lang": source}
    plain = await post(scripted.app, TRANSLATE, body)
    assert [each["text"] for each in plain.json["translations"]] == ["", "Hello", " \n\t", ""]
    stream = await post(scripted.app, TRANSLATE, body | {"stream": True})
    texts = {each.data["text_index"]: each.data["text"] for each in stream.events if each.name == "translation"}
    assert texts == dict(enumerate(["", "Hello", " \n\t", ""]))
    assert len(scripted.engine.submitted) == 2, "one decode for each request"


async def test_what_ends_a_sentence_is_for_the_request_to_choose(scripted: ScriptedApp):
    body = BODY | {"text": "A house\nis old. It\nis."}
    for split, num_sentences in (("newlines", 4), ("punctuation", 2), ("none", 1)):
        answer = await post(scripted.app, TRANSLATE, body | {"split_sentences": split, "return": ["tokens"]})
        assert len(answer.json["translations"][0]["source_tokens"]) == num_sentences


@pytest.mark.parametrize("text", ["", " \n\t\u3000"])
async def test_a_blank_text_comes_back_as_it_is(scripted: ScriptedApp, text: str):
    plain = await post(scripted.app, TRANSLATE, BODY | {"text": text})
    assert [each["text"] for each in plain.json["translations"]] == [text]
    assert not scripted.engine.submitted


async def test_null_comes_back_as_null_in_its_place(scripted: ScriptedApp):
    body = BODY | {"text": [None, "Hello", None], "target_lang": ["de", "fr"]}
    plain = (await post(scripted.app, TRANSLATE, body)).json["translations"]
    assert [each["text"] for each in plain] == [None, None, "Hello", "Hello", None, None]
    stream = await post(scripted.app, TRANSLATE, body | {"stream": True})
    found = [each.data for each in stream.events if each.name == "translation"]
    assert sorted(found, key=plain.index) == plain


async def test_extra_fields_are_those_asked_for(scripted: ScriptedApp):
    answer = await post(scripted.app, TRANSLATE, BODY | {"return": ["alignment", "top_tokens"]})
    token = answer.json["translations"][0]["tokens"][0]
    assert list(token) == ["sentence_index", "token", "token_id", "logprob", "top_tokens", "alignment"]
    assert len(token["top_tokens"]) == 5
    assert len(token["alignment"]) == len(scripted.engine.submitted[0].spec.source_ids)


async def test_each_target_is_answered_under_the_code_that_was_asked_for(scripted: ScriptedApp):
    answer = await post(scripted.app, TRANSLATE, BODY | {"text": ["One", "Two"], "target_lang": ["de", "de-DE", "fr"]})
    found = [(each["text_index"], each["target_lang"]) for each in answer.json["translations"]]
    assert found == [(index, code) for index in (0, 1) for code in ("de", "de-DE", "fr")]
    assert len(scripted.engine.submitted) == 4, "equal sentences are one decode"


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_stream_has_its_events_in_order(scripted: ScriptedApp, method: str):
    if method == "GET":
        answer = await call(scripted.app, "GET", STREAM, query=QUERY)
    else:
        answer = await post(scripted.app, TRANSLATE, BODY | {"stream": True})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    names = [event.name for event in answer.events]
    num_tokens = len(scripted.engine.submitted[0].spec.source_ids) - 1
    assert names == ["start", *["token"] * num_tokens, "translation", "done"]
    assert "".join(event.data["text"] for event in answer.events if event.name == "token") == "Hello"
    assert answer.events[0].data["texts"] == 1
    assert answer.is_whole


async def test_a_failure_within_a_stream_is_its_last_event():
    def fail(_: DecodeSpec) -> str:
        return "a step failed"

    scripted = scripted_app(script=fail)
    answer = await call(scripted.app, "GET", STREAM, query=QUERY)
    assert [event.name for event in answer.events] == ["start", "error"]
    assert answer.events[-1].data["type"] == "urn:kakehashi:problem:engine-failed"
    plain = await post(scripted.app, TRANSLATE, BODY)
    assert (plain.status, plain.json["detail"]) == (500, "a step failed")
    assert scripted.is_idle()


async def test_a_hang_up_within_a_stream_cancels_its_decodes(scripted: ScriptedApp):
    scripted.engine.hold()
    exchange = Exchange(scripted.app, "GET", STREAM, query=QUERY)
    await exchange.wait_for(b"event: start")
    exchange.hang_up()
    await exchange.wait()
    assert not exchange.is_whole
    assert 'endpoint="/v1/translations/stream",outcome="cancelled"' in scripted.metrics.render().decode()


async def test_head_of_a_stream_is_admitted_or_refused_and_translates_nothing(scripted: ScriptedApp):
    answer = await call(scripted.app, "HEAD", STREAM, query=QUERY)
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (await call(scripted.app, "HEAD", STREAM, query=b"text=a")).status == 422
    assert (await call(scripted.app, "HEAD", STREAM, query=QUERY.replace(b"=de", b"=zz"))).status == 400
    assert not scripted.engine.submitted


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/v1/languages", "/v1/models", "/metrics", "/docs"])
async def test_head_is_answered_wherever_get_is(scripted: ScriptedApp, path: str):
    assert (await call(scripted.app, "HEAD", path)).status == 200


async def test_a_trailing_slash_makes_no_difference(scripted: ScriptedApp):
    assert (await post(scripted.app, TRANSLATE + "/", BODY)).status == 200
    assert (await call(scripted.app, "GET", "/v1/models/")).json == (await call(scripted.app, "GET", "/v1/models")).json


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", TRANSLATE, "POST"),
        ("DELETE", TRANSLATE, "POST"),
        ("POST", STREAM, "GET, HEAD"),
        ("PUT", "/v1/languages", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_a_problem(scripted: ScriptedApp, method: str, path: str, allowed: str):
    answer = await call(scripted.app, method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert answer.json["type"] == "urn:kakehashi:problem:method-not-allowed"


async def test_allow_has_the_methods_of_all_routes_of_a_path(scripted: ScriptedApp):
    answers = [await call(scripted.app, "PUT", path) for path in ("/v2/usage", "/v2/glossaries/7", "/")]
    assert [each.headers["allow"] for each in answers] == ["GET, HEAD, POST", "DELETE, GET, HEAD", "GET, HEAD, POST"]


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1/translation", "/v1/translations/stream/x", "/%00"])
async def test_an_unknown_path_is_a_problem(scripted: ScriptedApp, path: str):
    answer = await call(scripted.app, "GET", path)
    assert (answer.status, answer.json["type"]) == (404, "urn:kakehashi:problem:not-found")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"return": ["tokens", "timings"]}, "return timings is not supported"),
        ({"seed": 1, "beam_size": 2}, "seed need a beam_size of 1"),
        ({"temperature": 0.5, "beam_size": 8}, "temperature, top_k"),
        ({"num_hypotheses": 2}, "num_hypotheses is 2, over beam_size 1"),
        ({"num_hypotheses": 5, "beam_size": 4}, "num_hypotheses is 5, over beam_size 4"),
        ({"prefix": "Ich", "text": ["I see.", "I hear."]}, "prefix needs exactly one text"),
        ({"prefix": "Ich", "target_lang": ["de", "fr"]}, "prefix needs exactly one text and one target_lang"),
        ({"glossary": {"dog": "Hund"}, "target_lang": ["de", "fr"]}, "glossary needs exactly one target_lang"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_options_that_are_not_served_or_exclude_each_other_are_refused(
    scripted: ScriptedApp, options: dict[str, object], named: str, stream: bool
):
    answer = await post(scripted.app, TRANSLATE, BODY | options | {"stream": stream})
    assert (answer.status, answer.json["type"]) == (400, "urn:kakehashi:problem:unsupported-option")
    assert named in answer.json["detail"]


@pytest.mark.parametrize("stream", [False, True])
async def test_too_many_or_too_long_texts_are_refused_with_the_limit(scripted: ScriptedApp, stream: bool):
    many = await post(scripted.app, TRANSLATE, BODY | {"text": ["Hi."] * 17, "stream": stream})
    assert (many.status, many.json["detail"]) == (413, "the request has 17 texts; the limit is 16")
    for text in ("x" * 2_001, ["x" * 1_001] * 2):
        long = await post(scripted.app, TRANSLATE, BODY | {"text": text, "stream": stream})
        assert long.status == 413
        assert "the limit is 2000" in long.json["detail"]
    assert not scripted.engine.submitted


async def test_a_body_over_the_limit_is_refused_in_every_route(scripted: ScriptedApp):
    body = as_json(BODY).ljust(100_001)
    headers = JSON | {"content-length": str(len(body))}
    for method, path in [("POST", TRANSLATE), ("GET", STREAM), ("POST", "/v1/explain"), ("GET", "/v1/models")]:
        assert (await call(scripted.app, method, path, body=body, headers=headers)).status == 413


async def test_the_clients_request_id_is_the_answers(scripted: ScriptedApp):
    for body in (BODY, {}):
        assert (await post(scripted.app, TRANSLATE, body, **{"x-request-id": "mine"})).headers["x-request-id"] == "mine"


@pytest.mark.parametrize("sent", ["x" * 101, "not sane", ""])
async def test_a_request_id_that_is_long_or_not_sane_is_replaced(scripted: ScriptedApp, sent: str):
    answer = await post(scripted.app, TRANSLATE, {}, **{"x-request-id": sent})
    assert answer.headers["x-request-id"] == answer.json["request_id"] != sent
