"""Each refusal has its status and a problem that says why, streamed or not, and the server goes on.

All of it is HTTP: what a request needs rows or time for stands in test_overload.py.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from loadtests.bench.loopback import HOST
from tests.support.client import request_body
from tests.support.problems import EITHER_WAY, JSON, check_problem, post
from tests.support.server import RunningServer

GOOD = request_body("I saw a dog.", "en", "de")
MAX_BODY_BYTES, MAX_TEXTS, MAX_TEXT_CHARACTERS = 1 << 20, 128, 50_000


def get_stream(server: RunningServer, query: dict[str, Any]) -> httpx.Response:
    return server.client.get("/v1/translations/stream", params=query)


@pytest.fixture(autouse=True)
def _goes_on(server: RunningServer) -> Iterator[None]:
    yield
    assert server.text("I saw a dog.", "en", "de") == "Ich habe einen Hund gesehen."


# Options, languages and pairs that are not served: 400.


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", "html"),
        ("return", ["timings"]),
        ("return", ["tokens", "timings"]),
    ],
)
def test_an_option_that_is_not_served_yet_is_refused_by_name(server: RunningServer, name: str, value: Any) -> None:
    option = {name: value}
    for answer in (
        post(server, GOOD | option),
        post(server, GOOD | option | {"stream": True}),
        get_stream(server, GOOD | option),
    ):
        problem = check_problem(answer, 400, "unsupported-option")
        assert problem["detail"].startswith(f"{name} ")
        assert "is not supported" in problem["detail"]


@EITHER_WAY
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"seed": 1, "beam_size": 2}, "seed go with a beam_size of 1 only"),
        ({"temperature": 0.5, "beam_size": 8}, "temperature, top_k"),
        ({"top_k": 5, "beam_size": 2}, "top_k"),
        ({"top_p": 0.5, "beam_size": 2}, "top_p"),
        ({"num_hypotheses": 2}, "num_hypotheses is 2, over beam_size 1"),
        ({"num_hypotheses": 5, "beam_size": 4}, "num_hypotheses is 5, over beam_size 4"),
        ({"prefix": "Ich", "text": ["I see.", "I hear."]}, "prefix goes with one text"),
        ({"prefix": "Ich", "target_lang": ["de", "fr"]}, "prefix goes with one text and one target_lang"),
        ({"prefix": "Haus " * 300}, "prefix has"),
        ({"model": "another"}, "model 'another' is not served; there are kakehashi-bundled"),
    ],
)
def test_options_that_exclude_each_other_are_refused(
    server: RunningServer, options: dict[str, Any], named: str, stream: bool
) -> None:
    problem = check_problem(post(server, GOOD | options | {"stream": stream}), 400, "unsupported-option")
    assert named in problem["detail"]
    check_problem(get_stream(server, GOOD | options), 400, "unsupported-option")


@EITHER_WAY
def test_a_beam_wider_than_the_batch_is_refused(one_row_server: RunningServer, stream: bool) -> None:
    answer = post(one_row_server, GOOD | {"beam_size": 2, "stream": stream})
    assert "has 1 rows" in check_problem(answer, 400, "unsupported-option")["detail"]


@EITHER_WAY
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"source_lang": "zz"}, ["source_lang 'zz'", "en, de, fr, es, ja"]),
        ({"target_lang": "zz"}, ["target_lang 'zz'", "from 'en'"]),
        ({"target_lang": ["de", "tlh"]}, ["target_lang 'tlh'"]),
        ({"target_lang": "en"}, ["target_lang 'en'"]),
        ({"source_lang": "de", "target_lang": "de"}, ["target_lang 'de'", "from 'de'"]),
        ({"source_lang": "de", "target_lang": ["fr", "tlh"]}, ["target_lang 'tlh'"]),
    ],
)
def test_a_language_or_pair_that_is_not_served_is_named(
    server: RunningServer, changes: dict[str, Any], named: list[str], stream: bool
) -> None:
    problem = check_problem(post(server, GOOD | changes | {"stream": stream}), 400, "unsupported-language")
    assert all(part in problem["detail"] for part in named)
    check_problem(get_stream(server, GOOD | changes), 400, "unsupported-language")


@EITHER_WAY
def test_source_lang_is_required_until_there_is_detection(server: RunningServer, stream: bool) -> None:
    for body in ({**GOOD, "source_lang": None}, {name: GOOD[name] for name in ("text", "target_lang")}):
        problem = check_problem(post(server, body | {"stream": stream}), 400, "unsupported-option")
        assert problem["detail"].startswith("source_lang is required")


@EITHER_WAY
def test_more_new_tokens_than_the_servers_cap_are_refused(server: RunningServer, stream: bool) -> None:
    cap = server.model()["max_new_tokens"]
    answer = post(server, GOOD | {"max_new_tokens": cap + 1, "stream": stream})
    assert f"the limit is {cap}" in check_problem(answer, 400, "unsupported-option")["detail"]
    assert post(server, GOOD | {"max_new_tokens": cap}).status_code == 200


# Malformed fields: 422.


@EITHER_WAY
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"text": ""}, "text.0"),
        ({"text": " \n\t\u3000"}, "text.0"),
        ({"text": ["I see.", ""]}, "text.1"),
        ({"text": []}, "text"),
        ({"text": None}, "text"),
        ({"text": 5}, "text"),
        ({"text": {"de": "x"}}, "text"),
        ({"text": ["I see.", 5]}, "text.1"),
        ({"text": "\ud800"}, "text.0"),
        ({"text": ["I see.", "a\udfffb"]}, "text.1"),
        ({"target_lang": []}, "target_lang"),
        ({"target_lang": 7}, "target_lang"),
        ({"target_lang": ["de", None]}, "target_lang.1"),
        ({"target_lang": "\ud800"}, "target_lang.0"),
        ({"source_lang": ["en"]}, "source_lang"),
        ({"source_lang": ""}, "source_lang"),
        ({"source_lang": "e" * 36}, "source_lang"),
        ({"beam_size": 9}, "beam_size"),
        ({"beam_size": 0}, "beam_size"),
        ({"num_hypotheses": "many"}, "num_hypotheses"),
        ({"num_hypotheses": 9, "beam_size": 8}, "num_hypotheses"),
        ({"prefix": ""}, "prefix"),
        ({"prefix": ["Ich"]}, "prefix"),
        ({"seed": 2**63}, "seed"),
        ({"seed": 0.5}, "seed"),
        ({"top_k": 0}, "top_k"),
        ({"model": 1}, "model"),
        ({"temperature": 0}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"format": "pdf"}, "format"),
        ({"return": ["everything"]}, "return.0"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": 1.5}, "max_new_tokens"),
        ({"length_penalty": float("nan")}, "length_penalty"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": float("nan")}, "timeout_s"),
        ({"priority": "now"}, "priority"),
        ({"repetition_guard": "perhaps"}, "repetition_guard"),
        ({"zz": 1}, "zz"),
        ({"Text": "I see."}, "Text"),
    ],
)
def test_a_malformed_or_unknown_field_is_listed(
    server: RunningServer, changes: dict[str, Any], field: str, stream: bool
) -> None:
    problem = check_problem(post(server, GOOD | changes | {"stream": stream}), 422, "malformed")
    assert [error["field"] for error in problem["errors"]] == [f"body.{field}"]
    assert all(error["message"] for error in problem["errors"])


@pytest.mark.parametrize("missing", ["text", "target_lang"])
def test_a_missing_field_is_listed(server: RunningServer, missing: str) -> None:
    body = {name: value for name, value in GOOD.items() if name != missing}
    for place, answer in (("body", post(server, body)), ("query", get_stream(server, body))):
        problem = check_problem(answer, 422, "malformed")
        assert problem["errors"] == [{"field": f"{place}.{missing}", "message": "Field required"}]


def test_all_malformed_fields_are_listed_at_once(server: RunningServer) -> None:
    problem = check_problem(post(server, {"text": 1, "source_lang": 2, "zz": 3}), 422, "malformed")
    fields = {error["field"] for error in problem["errors"]}
    assert fields == {"body.text", "body.source_lang", "body.target_lang", "body.zz"}


@pytest.mark.parametrize(
    "content", [b"", b"null", b"[]", b'"text"', b"{", b'{"text": "a"', b"\xff\xfe", b'{"\\ud800": 1}', b"text=Hello"]
)
def test_a_body_that_is_no_json_object_is_malformed(server: RunningServer, content: bytes) -> None:
    answer = server.client.post("/v1/translations", content=content, headers=JSON)
    assert check_problem(answer, 422, "malformed")["errors"]


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"text": 1' + b"0" * 5_000 + b"}"], ids=["deep", "digits"])
def test_a_body_that_no_parser_takes_is_a_problem(server: RunningServer, content: bytes) -> None:
    answer = server.client.post("/v1/translations", content=content, headers=JSON)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code


# Over a limit: 413.


@EITHER_WAY
def test_too_many_or_too_long_texts_are_refused_with_the_limit(server: RunningServer, stream: bool) -> None:
    many = post(server, GOOD | {"text": ["Hi."] * (MAX_TEXTS + 1), "stream": stream})
    assert str(MAX_TEXTS) in check_problem(many, 413, "too-large")["detail"]
    for text in ("x" * (MAX_TEXT_CHARACTERS + 1), ["x" * (MAX_TEXT_CHARACTERS // 2 + 1)] * 2):
        long = post(server, GOOD | {"text": text, "stream": stream})
        assert str(MAX_TEXT_CHARACTERS) in check_problem(long, 413, "too-large")["detail"]
    assert post(server, GOOD | {"text": ["Hi."] * MAX_TEXTS}).status_code == 200


def test_a_body_of_just_the_limit_is_read(server: RunningServer) -> None:
    body = json.dumps(GOOD).encode().ljust(MAX_BODY_BYTES)
    assert server.client.post("/v1/translations", content=body, headers=JSON).status_code == 200
    assert server.client.post("/v1/translations", content=iter([body]), headers=JSON).status_code == 200


@pytest.mark.parametrize("is_announced", [True, False], ids=["announced", "chunked"])
def test_a_body_over_the_limit_is_refused(server: RunningServer, is_announced: bool) -> None:
    body = json.dumps(GOOD).encode().ljust(MAX_BODY_BYTES + 1)
    chunks = (body[start : start + 10_000] for start in range(0, len(body), 10_000))
    answer = server.client.post("/v1/translations", content=body if is_announced else chunks, headers=JSON)
    assert str(MAX_BODY_BYTES) in check_problem(answer, 413, "too-large")["detail"]


@pytest.mark.parametrize(
    "announcement",
    [f"Content-Length: {MAX_BODY_BYTES + 1}\r\n\r\n", f"Transfer-Encoding: chunked\r\n\r\n{2**30:x}\r\n"],
)
async def test_a_body_over_the_limit_is_refused_before_its_end(server: RunningServer, announcement: str) -> None:
    reader, writer = await asyncio.open_connection(HOST, server.port)
    head = f"POST /v1/translations HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n{announcement}"
    writer.write(head.encode())
    if "chunked" in announcement:
        writer.write(b" " * (MAX_BODY_BYTES + 1))
    assert await reader.readline() == b"HTTP/1.1 413 Request Entity Too Large\r\n"
    writer.close()
    await writer.wait_closed()


# Routes: 404, 405.


@pytest.mark.parametrize("path", ["/nowhere", "/v1", "/v1/translation", "/v1/translations/stream/x", "/%00"])
def test_an_unknown_path_is_a_problem(server: RunningServer, path: str) -> None:
    check_problem(server.client.get(path), 404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/translations", "POST"),
        ("DELETE", "/v1/translations", "POST"),
        ("POST", "/v1/translations/stream", "GET"),
        ("POST", "/health/live", "GET"),
        ("PUT", "/v1/languages", "GET"),
    ],
)
def test_a_wrong_method_is_a_problem(server: RunningServer, method: str, path: str, allowed: str) -> None:
    answer = server.client.request(method, path)
    check_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == allowed
