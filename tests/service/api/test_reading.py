"""A violation of the schema is a small, quick 422 that lists the errors, in every route, body and query."""

import json
import time
from typing import Any

import pytest

from tests.support.asgi import JSON, Exchange, call, post
from tests.support.scripted_app import ScriptedApp

TRANSLATE, STREAM, EXPLAIN = "/v1/translations", "/v1/translations/stream", "/v1/explain"
GOOD: dict[str, Any] = {"text": "Hello", "source_lang": "en", "target_lang": "de"}
QUERY = b"text=Hello&source_lang=en&target_lang=de&"
SMALL_BYTES = 8 << 10
MAX_STANDSTILL_SECONDS = 0.25


def check_malformed(answer: Exchange, *fields: str) -> None:
    problem = answer.json
    assert (answer.status, problem["type"]) == (422, "urn:kakehashi:problem:malformed"), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert [error["field"] for error in problem["errors"]] == list(fields)
    assert all(error["message"] for error in problem["errors"])
    assert problem["detail"].startswith(f"{fields[0]}: ")
    assert len(answer.body) < SMALL_BYTES


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"text": []}, "text"),
        ({"text": None}, "text"),
        ({"text": 5}, "text"),
        ({"text": {"de": "x"}}, "text"),
        ({"text": ["I see.", 5]}, "text.1"),
        ({"text": "\ud800"}, "text.0"),
        ({"text": ["I see.", "a\udfffb"]}, "text.1"),
        ({"target_lang": []}, "target_lang"),
        ({"target_lang": 7}, "target_lang"),
        ({"target_lang": ["de"] * 513}, "target_lang"),
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
        ({"glossary": ["dog"]}, "glossary"),
        ({"glossary": {"dog": 1}}, "glossary.dog"),
        ({"glossary": {"dog": " "}}, "glossary.dog"),
        ({"glossary": {"dog": "x" * 201}}, "glossary.dog"),
        ({"glossary": {str(number): "x" for number in range(5_001)}}, "glossary"),
        ({"seed": 0.5}, "seed"),
        ({"top_k": 0}, "top_k"),
        ({"model": 1}, "model"),
        ({"model": "m" * 1025}, "model"),
        ({"temperature": 0}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"format": "pdf"}, "format"),
        ({"return": ["everything"]}, "return.0"),
        ({"return": ["tokens"] * 9}, "return"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": 1.5}, "max_new_tokens"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"priority": "now"}, "priority"),
        ({"repetition_guard": "perhaps"}, "repetition_guard"),
        ({"zz": 1}, "zz"),
        ({"Text": "I see."}, "Text"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_a_malformed_or_unknown_field_is_listed(
    scripted: ScriptedApp, changes: dict[str, Any], field: str, stream: bool
):
    check_malformed(await post(scripted.app, TRANSLATE, GOOD | changes | {"stream": stream}), f"body.{field}")


NUMBERS = {
    "beam_size": ["2e9", "18446744073709551616", "1" + "0" * 4000],
    "num_hypotheses": ["18446744073709551616"],
    "max_new_tokens": ["2147483648", "18446744073709551616"],
    "top_k": ["2147483648", "18446744073709551616", "-1"],
    "seed": ["9223372036854775808", "-9223372036854775809"],
    "temperature": ["1e999", "1e-44", "1e-300", "0.009", "100.1", "-1", "1" + "0" * 400],
    "top_p": ["1e999", "0"],
    "length_penalty": ["1e999", "-1e999", "10.5", "1" + "0" * 400],
    "timeout_s": ["1e999", "-1", "1" + "0" * 400],
}
TOO_MUCH = [(field, number) for field, numbers in NUMBERS.items() for number in numbers]
NOT_FINITE = [
    (field, number)
    for field in ("temperature", "top_p", "length_penalty", "timeout_s")
    for number in ("NaN", "Infinity", "-Infinity")
]


@pytest.mark.parametrize(("field", "number"), [*TOO_MUCH, *NOT_FINITE])
async def test_numbers_are_bounded_and_finite(scripted: ScriptedApp, field: str, number: str):
    body = json.dumps(GOOD)[:-1] + f', "{field}": {number}}}'
    check_malformed(await post(scripted.app, TRANSLATE, body.encode()), f"body.{field}")
    query = QUERY + f"{field}={number}".encode()
    check_malformed(await call(scripted.app, "GET", STREAM, query=query), f"query.{field}")


@pytest.mark.parametrize("number", ["inf", "-inf", "nan", "infinity", "1_0", "0x1", ""])
async def test_numbers_of_a_query_are_numbers(scripted: ScriptedApp, number: str):
    answer = await call(scripted.app, "GET", STREAM, query=QUERY + f"temperature={number}".encode())
    assert answer.status == (200 if number == "1_0" else 422)


@pytest.mark.parametrize(
    ("field", "number"),
    [("k", "51"), ("k", "18446744073709551616"), ("max_new_tokens", "2147483648"), ("timeout_s", "1e999")],
)
async def test_numbers_of_an_explanation_are_bounded_and_finite(scripted: ScriptedApp, field: str, number: str):
    body = json.dumps(GOOD)[:-1] + f', "{field}": {number}}}'
    check_malformed(await post(scripted.app, EXPLAIN, body.encode()), f"body.{field}")


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 2**63 - 1, "top_k": 2**31 - 1, "temperature": 100, "top_p": 5e-324},
        {"seed": -(2**63), "temperature": 0.01},
        {"length_penalty": -10, "timeout_s": 1e308},
    ],
)
async def test_the_bounds_themselves_are_allowed(scripted: ScriptedApp, options: dict[str, Any]):
    assert (await post(scripted.app, TRANSLATE, GOOD | options)).status == 200


@pytest.mark.parametrize("missing", ["text", "target_lang"])
async def test_a_missing_field_is_listed(scripted: ScriptedApp, missing: str):
    rest = {name: value for name, value in GOOD.items() if name != missing}
    check_malformed(await post(scripted.app, TRANSLATE, rest), f"body.{missing}")
    query = "&".join(f"{name}={value}" for name, value in rest.items()).encode()
    check_malformed(await call(scripted.app, "GET", STREAM, query=query), f"query.{missing}")


async def test_all_malformed_fields_are_listed_at_once(scripted: ScriptedApp):
    answer = await post(scripted.app, TRANSLATE, {"text": 1, "source_lang": 2, "zz": 3})
    assert answer.json["errors_omitted"] == 0
    fields = {error["field"] for error in answer.json["errors"]}
    assert fields == {"body.text", "body.source_lang", "body.target_lang", "body.zz"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"text": "a"',
        b"\xff\xfe",
        b'{"text": "\xff"}',
        b"text=Hello",
        pytest.param(b"[" * 50_000, id="deep list"),
        pytest.param(b'{"a":' * 15_000, id="deep object"),
        pytest.param(b'{"text": 1' + b"0" * 5_000 + b"}", id="digits"),
    ],
)
@pytest.mark.parametrize("path", [TRANSLATE, EXPLAIN])
async def test_a_body_that_is_no_json_object_is_malformed(scripted: ScriptedApp, path: str, content: bytes):
    check_malformed(await post(scripted.app, path, content), "body")


@pytest.mark.parametrize(
    "media_type", [None, "", "application/json; charset=utf-8", "Application/Problem+JSON", "text/plain;charset=UTF-8"]
)
async def test_json_is_read_under_its_own_type_as_plain_text_and_without_a_type(
    scripted: ScriptedApp, media_type: str | None
):
    headers = {} if media_type is None else {"content-type": media_type}
    answer = await call(scripted.app, "POST", TRANSLATE, body=json.dumps(GOOD).encode(), headers=headers)
    assert answer.status == 200


@pytest.mark.parametrize("path", [TRANSLATE, EXPLAIN])
@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/html", "json", "x" * 5_000])
async def test_a_body_of_another_type_is_refused_by_its_header(scripted: ScriptedApp, path: str, media_type: str):
    body = json.dumps(GOOD).encode()
    answer = await call(scripted.app, "POST", path, body=body, headers={"content-type": media_type})
    assert (answer.status, answer.json["type"]) == (415, "urn:kakehashi:problem:unsupported-media-type")
    assert answer.json["detail"].startswith(f"Content-Type '{media_type[:90]}")
    assert len(answer.body) < 1_000


@pytest.mark.parametrize("query", [b"text=%ff", b"text=\xff", b"&".join([b"text=a"] * 5_000)])
async def test_a_query_that_cannot_be_read_is_malformed(scripted: ScriptedApp, query: bytes):
    check_malformed(await call(scripted.app, "GET", STREAM, query=query), "query")


async def test_only_the_first_errors_are_listed_and_the_others_counted(scripted: ScriptedApp):
    answer = await post(scripted.app, TRANSLATE, GOOD | {"text": 1} | {f"{number:x}": 0 for number in range(5_000)})
    assert answer.status == 422
    assert len(answer.json["errors"]) == 20
    assert answer.json["errors"][0]["field"] == "body.text"
    assert answer.json["errors_omitted"] == 4_981
    assert answer.json["detail"].endswith("(and 5000 more)")
    assert len(answer.body) < SMALL_BYTES


@pytest.mark.parametrize("good", [0, 3, 300])
async def test_errors_in_lists_are_listed_and_counted_like_others(scripted: ScriptedApp, good: int):
    texts = ["Hello"] * good + list(range(30))
    answer = await post(scripted.app, TRANSLATE, {"text": texts, "target_lang": ["de", 1, 2], "zz": 0})
    errors = [error["field"] for error in answer.json["errors"]]
    assert answer.status == 422
    assert len(errors) == 20
    assert {f"body.text.{good + number}" for number in range(18)} <= {*errors}
    assert answer.json["errors_omitted"] == 30 + 2 + 1 - 20


@pytest.mark.parametrize("path", [TRANSLATE, "/v1/detect"])
async def test_all_errors_of_a_long_list_are_counted(scripted: ScriptedApp, path: str):
    answer = await post(scripted.app, path, {"text": [*["Hello", 1] * 20_000, "\ud800"], "target_lang": "de"})
    fields = [error["field"] for error in answer.json["errors"] if error["field"] != "body.target_lang"]
    assert fields[:19] == [f"body.text.{number}" for number in range(1, 39, 2)]
    assert answer.json["errors_omitted"] == 20_001 + (path != TRANSLATE) - 20
    assert len(answer.body) < SMALL_BYTES


LONG = "x" * 20_000
SHOWN = [
    (TRANSLATE, GOOD | {LONG: 1}),
    (TRANSLATE, GOOD | {"\ud800" * 5_000: 1}),
    (TRANSLATE, GOOD | {"source_lang": LONG}),
    (TRANSLATE, GOOD | {"target_lang": ["de", LONG]}),
    (TRANSLATE, GOOD | {"target_lang": "\U000e0001" * 35}),
    (TRANSLATE, GOOD | {"model": "m" * 1000}),
    (TRANSLATE, GOOD | {"model": LONG}),
    (TRANSLATE, GOOD | {"priority": LONG}),
    (TRANSLATE, GOOD | {"return": [LONG]}),
    (TRANSLATE, GOOD | {"format": LONG}),
    (TRANSLATE, GOOD | {"text": {LONG: 1}}),
    (EXPLAIN, GOOD | {"model": "m" * 1000}),
    (EXPLAIN, GOOD | {LONG: 1}),
]


@pytest.mark.parametrize(("path", "body"), SHOWN)
async def test_an_error_shows_at_most_100_characters_of_a_request(
    scripted: ScriptedApp, path: str, body: dict[str, Any]
):
    answer = await post(scripted.app, path, body)
    assert answer.status in (400, 422)
    assert len(answer.body) < 1_000


async def test_a_query_is_shown_no_longer_than_a_body(scripted: ScriptedApp):
    for query in (QUERY + LONG.encode() + b"=1", QUERY + b"model=" + b"m" * 1000, QUERY + b"priority=" + LONG.encode()):
        answer = await call(scripted.app, "GET", STREAM, query=query)
        assert answer.status in (400, 422)
        assert len(answer.body) < 1_000


def with_list(field: str, item: str) -> bytes:
    rest = json.dumps({name: value for name, value in GOOD.items() if name != field})[1:-1]
    return f'{{{rest}, "{field}": [{",".join([item] * (99_000 // (len(item) + 1)))}]}}'.encode()


@pytest.mark.parametrize(
    "body",
    [
        with_list("text", "1"),
        with_list("text", '""'),
        with_list("text", '"a"'),
        with_list("target_lang", '""'),
        with_list("target_lang", '"de"'),
        with_list("return", "1"),
        with_list("return", '"tokens"'),
        json.dumps(GOOD | {f"{number:x}": 0 for number in range(8_000)}, separators=(",", ":")).encode(),
    ],
    ids=["numbers", "blanks", "texts", "blank targets", "targets", "numbers as extras", "extras", "unknown"],
)
async def test_a_body_full_of_errors_is_refused_quickly(scripted: ScriptedApp, body: bytes):
    """A tenth of the default limit on bodies, and so a tenth of the time that the loop may stand; of CPU time."""
    best = min([await _seconds(scripted, body) for _ in range(5)])
    assert best < MAX_STANDSTILL_SECONDS / 10


async def _seconds(scripted: ScriptedApp, body: bytes) -> float:
    began = time.thread_time()
    answer = await call(scripted.app, "POST", TRANSLATE, body=body, headers=JSON)
    seconds = time.thread_time() - began
    assert answer.status in (413, 422)
    assert len(answer.body) < SMALL_BYTES
    return seconds
