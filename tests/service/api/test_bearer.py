"""Laws of keys on the native routes: the key comes before everything else, and all that is wrong looks the same."""

import json
import logging
from typing import Any

import pytest

from service.api.access_log import AccessLog
from tests.support.asgi import JSON, Exchange, as_json, call
from tests.support.scripted_app import ScriptedApp, scripted_app

GOOD = as_json({"text": "Hello", "source_lang": "en", "target_lang": "de"})
KEY = "s3cret:schlüssel"
RIGHT = {"authorization": f"Bearer {KEY}"}
WRONG: list[dict[str, Any]] = [
    {},
    {"authorization": "Bearer"},
    {"authorization": "Bearer "},
    {"authorization": KEY},
    {"authorization": f"Bearer {KEY.upper()}"},
    {"authorization": f"Bearer {KEY[:-1]}"},
    {"authorization": f"Bearer {KEY}x"},
    {"authorization": f"Bearer alice:{KEY}"},
    {"authorization": f"Basic {KEY}"},
    {"authorization": f"DeepL-Auth-Key {KEY}"},
    {"authorization": "Bearer \xff\xfe"},
    {"x-api-key": KEY},
    {"api-key": KEY},
]


@pytest.fixture
def keyed() -> ScriptedApp:
    return scripted_app(api_keys=f"alice:{KEY},bob:other", access_log=AccessLog(with_texts=True))


async def translate(served: ScriptedApp, headers: dict[str, str], body: bytes = GOOD, query: bytes = b"") -> Exchange:
    return await call(served.app, "POST", "/v1/translations", body=body, headers=JSON | headers, query=query)


def check_refused(answer: Exchange) -> None:
    expected = {
        "type": "urn:kakehashi:problem:unauthorized",
        "title": "Unauthorized",
        "status": 401,
        "detail": "a key is needed in the header Authorization: Bearer KEY",
        "request_id": answer.headers["x-request-id"],
    }
    assert (answer.status, answer.json) == (401, expected)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
@pytest.mark.parametrize("key", [KEY, "other"])
async def test_a_key_opens_the_native_routes(keyed: ScriptedApp, scheme: str, key: str):
    assert (await translate(keyed, {"authorization": f"{scheme} {key}"})).status == 200


@pytest.mark.parametrize("headers", WRONG, ids=str)
async def test_whatever_is_wrong_the_refusal_is_the_same(keyed: ScriptedApp, headers: dict[str, str]):
    check_refused(await translate(keyed, headers))
    assert keyed.is_idle()


async def test_a_key_in_the_query_or_in_the_body_is_none(keyed: ScriptedApp):
    body = as_json(json.loads(GOOD) | {"api_key": KEY, "key": KEY})
    check_refused(await translate(keyed, {}, body, query=f"api_key={KEY}&key={KEY}&access_token={KEY}".encode()))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/languages", 200),
        ("HEAD", "/v1/models/", 200),
        ("GET", "/v1/translations/stream", 422),
        ("POST", "/v1/explain", 422),
        ("GET", "/v1/translations", 405),
        ("DELETE", "/v1/languages", 405),
        ("OPTIONS", "/v1/translations", 405),
        ("GET", "/v1/nowhere", 404),
        ("PURGE", "/v1/translations/nowhere/", 404),
    ],
)
async def test_nothing_of_the_native_api_is_shown_without_a_key(
    keyed: ScriptedApp, method: str, path: str, status: int
):
    check_refused(await call(keyed.app, method, path))
    assert (await call(keyed.app, method, path, headers=RIGHT)).status == status


@pytest.mark.parametrize(
    ("headers", "body"),
    [({}, b"{"), ({"transfer-encoding": "chunked"}, bytes(100_001)), ({"content-length": "100001"}, b"")],
    ids=["malformed", "too large", "announced"],
)
async def test_the_key_comes_before_the_gate_and_the_body(keyed: ScriptedApp, headers: dict[str, str], body: bytes):
    keyed.lifecycle.start_draining()
    check_refused(await translate(keyed, headers, body))
    assert (await translate(keyed, RIGHT)).status == 503


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json"])
async def test_health_metrics_and_documentation_need_no_key(keyed: ScriptedApp, path: str):
    assert (await call(keyed.app, "GET", path)).status == 200
    assert (await call(keyed.app, "GET", "/nowhere")).status == 404


async def test_the_log_has_the_name_of_the_key_and_no_more(keyed: ScriptedApp, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.DEBUG):
        await translate(keyed, RIGHT)
        await translate(keyed, {"authorization": "Bearer wr0ng"})
    known, unknown = [record.__dict__["fields"] for record in caplog.records if record.message == "request"]
    assert (known["key"], known["status"]) == ("alice", 200)
    assert (unknown["route"], unknown["status"], "key" in unknown) == ("/v1/translations", 401, False)
    assert all(secret not in str([each.__dict__ for each in caplog.records]) for secret in ("s3cret", "wr0ng"))
    assert "alice" not in keyed.metrics.render().decode()


def test_openapi_names_the_key_where_one_is_needed(keyed: ScriptedApp):
    document = keyed.app.openapi()
    assert document["components"]["securitySchemes"]["bearer"] == {"type": "http", "scheme": "bearer"}
    operations = [(path, each) for path, methods in document["paths"].items() for each in methods.values()]
    keyed_paths = {path for path, operation in operations if operation.get("security") == [{"bearer": []}]}
    native = {path for path, _ in operations if path.startswith("/v1/")}
    assert keyed_paths == {*native, "/", "/generate", "/generate_stream"}
    assert {path for path, operation in operations if "401" in operation["responses"]} == keyed_paths
    assert "securitySchemes" not in scripted_app().app.openapi()["components"]


async def test_a_key_that_has_used_its_minute_is_refused_and_others_are_not():
    served = scripted_app(api_keys="alice:first requests=2 characters=11,bob:other")
    first = {"authorization": "Bearer first"}
    assert [(await translate(served, first)).status for _ in range(2)] == [200, 200]
    refused = await translate(served, first)
    assert (refused.status, refused.json["type"]) == (429, "urn:kakehashi:problem:rate-spent")
    assert 1 <= int(refused.headers["retry-after"]) <= 120
    assert (await call(served.app, "GET", "/v1/languages", headers=first)).status == 200
    assert (await translate(served, {"authorization": "Bearer other"})).status == 200
    assert 'kakehashi_refused_total{reason="rate-spent"} 1.0' in served.metrics.render().decode()
    assert served.is_idle()
