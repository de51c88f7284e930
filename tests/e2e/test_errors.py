"""Every refusal has its status and a problem with the reason, streamed or not, and the server goes on.

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


@EITHER_WAY
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"prefix": "Haus " * 300}, "prefix has"),
        ({"model": "another"}, "model 'another' is not served; there are kakehashi-bundled"),
    ],
)
def test_options_that_the_model_does_not_allow_are_refused(
    server: RunningServer, options: dict[str, Any], named: str, stream: bool
) -> None:
    problem = check_problem(post(server, GOOD | options | {"stream": stream}), 400, "unsupported-option")
    assert named in problem["detail"]
    check_problem(get_stream(server, GOOD | options), 400, "unsupported-option")


@EITHER_WAY
def test_a_beam_wider_than_the_batch_is_refused(one_row_server: RunningServer, stream: bool) -> None:
    answer = post(one_row_server, GOOD | {"beam_size": 2, "stream": stream})
    assert "the limit of this server is 1" in check_problem(answer, 400, "unsupported-option")["detail"]


@EITHER_WAY
@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"source_lang": "zz"}, ["source_lang 'zz'", "en, de, fr, es, ja"]),
        ({"target_lang": "zz"}, ["target_lang 'zz'", "from 'en'"]),
        ({"target_lang": ["de", "tlh"]}, ["target_lang 'tlh'"]),
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
def test_more_new_tokens_than_the_servers_cap_are_refused(server: RunningServer, stream: bool) -> None:
    cap = server.model()["max_new_tokens"]
    answer = post(server, GOOD | {"max_new_tokens": cap + 1, "stream": stream})
    assert f"the limit is {cap}" in check_problem(answer, 400, "unsupported-option")["detail"]
    assert post(server, GOOD | {"max_new_tokens": cap}).status_code == 200


# Malformed fields: 422. All of their laws are held against the app in one process; this is that they are served.


def test_a_malformed_body_and_query_are_refused(server: RunningServer) -> None:
    problem = check_problem(post(server, GOOD | {"beam_size": 9}), 422, "malformed")
    assert [error["field"] for error in problem["errors"]] == ["body.beam_size"]
    problem = check_problem(get_stream(server, GOOD | {"temperature": "inf"}), 422, "malformed")
    assert [error["field"] for error in problem["errors"]] == ["query.temperature"]


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


def test_an_unknown_path_and_a_wrong_method_are_problems(server: RunningServer) -> None:
    check_problem(server.client.get("/nowhere"), 404, "not-found")
    answer = server.client.get("/v1/translations")
    check_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"
