"""Laws of refusals: every API has its own status and shape for each, whatever part of the server refuses."""

from typing import Any

import pytest

from tests.service.api.compatible.apis import APIS, DEEPL, EVERY_API, KEY, LIBRETRANSLATE, Api
from tests.support.asgi import JSON, Exchange, as_json
from tests.support.scripted_app import ScriptedApp, scripted_app

TOO_LONG = "the texts have 2001 characters; the limit is 2000"
BAD_LANGUAGE = "target_lang 'ZZ' cannot be reached from 'en', which is translated into de, fr, es, ja"
BAD_KEY = "a key is needed in the header Authorization: {} KEY"
FULL = "10000 tokens are waiting to be generated"
DRAINING = "the server is shutting down"
BODY_LIMIT = "the body is longer than 100000 bytes"


def libretranslate(error: str) -> dict[str, Any]:
    return {"error": error}


def deepl(message: str, detail: str | None = None) -> dict[str, Any]:
    return {"message": message} | ({"detail": detail} if detail else {})


def huggingface(error: str, error_type: str | None = None) -> dict[str, Any]:
    return {"error": error} | ({"error_type": error_type} if error_type else {})


RATE_SPENT = "the key alice has reached its limit of requests a minute, which is 1"
EXPECTED: dict[str, dict[str, tuple[int, dict[str, Any]]]] = {
    "bad language": {
        "LibreTranslate": (400, libretranslate("zz is not supported")),
        "DeepL": (400, deepl("Value for 'target_lang' not supported.", BAD_LANGUAGE)),
        "Hugging Face": (422, huggingface(BAD_LANGUAGE, "validation")),
    },
    "missing field": {
        "LibreTranslate": (400, libretranslate("Invalid request: missing q parameter")),
        "DeepL": (400, deepl("Parameter 'text' not specified.")),
        "Hugging Face": (422, huggingface("Input validation error: inputs: Field required", "validation")),
    },
    "too long": {
        "LibreTranslate": (400, libretranslate("Invalid request: request (2001) exceeds text limit (2000)")),
        "DeepL": (413, deepl(TOO_LONG)),
        "Hugging Face": (422, huggingface(TOO_LONG, "validation")),
    },
    "body over its limit": {
        "LibreTranslate": (400, libretranslate(f"Invalid request: {BODY_LIMIT}")),
        "DeepL": (413, deepl(BODY_LIMIT)),
        "Hugging Face": (422, huggingface(BODY_LIMIT, "validation")),
    },
    "no key": {
        "LibreTranslate": (400, libretranslate("Please contact the server operator to get an API key")),
        "DeepL": (403, deepl(BAD_KEY.format("DeepL-Auth-Key"))),
        "Hugging Face": (401, huggingface(BAD_KEY.format("Bearer"))),
    },
    "wrong key": {
        "LibreTranslate": (403, libretranslate("Invalid API key")),
        "DeepL": (403, deepl(BAD_KEY.format("DeepL-Auth-Key"))),
        "Hugging Face": (401, huggingface(BAD_KEY.format("Bearer"))),
    },
    "queue full": {
        "LibreTranslate": (429, libretranslate(f"Slowdown: {FULL}")),
        "DeepL": (429, deepl(FULL)),
        "Hugging Face": (429, huggingface(FULL, "overloaded")),
    },
    "rate spent": {
        "LibreTranslate": (429, {"error": f"Slowdown: {RATE_SPENT}"}),
        "DeepL": (429, {"message": RATE_SPENT}),
        "Hugging Face": (429, huggingface(RATE_SPENT, "overloaded")),
    },
    "draining": {
        "LibreTranslate": (503, libretranslate(DRAINING)),
        "DeepL": (503, deepl(DRAINING)),
        "Hugging Face": (503, huggingface(DRAINING)),
    },
    "failed decode": {
        "LibreTranslate": (500, libretranslate("it broke")),
        "DeepL": (500, deepl("it broke")),
        "Hugging Face": (424, huggingface("it broke", "generation")),
    },
    "no JSON": {
        "LibreTranslate": (400, libretranslate("Invalid JSON format")),
        "DeepL": (400, deepl("body: Input should be an object")),
        "Hugging Face": (422, huggingface("body: Input should be an object", "validation")),
    },
}


def expected(api: Api, case: str) -> tuple[int, dict[str, Any]]:
    return EXPECTED[case][api.name.partition(" /")[0]]


async def provoke(api: Api, case: str) -> Exchange:
    is_keyed = case in ("no key", "wrong key", "rate spent")
    served = scripted_app(api_keys=f"alice:{KEY} requests=1" if is_keyed else "", script=lambda _: "it broke")
    match case:
        case "bad language":
            code: Any = {"src_lang": "en", "tgt_lang": "ZZ"} if api.target_field == "parameters" else "ZZ"
            return await api.call(served, **{api.target_field: code})
        case "missing field":
            return await api.call(served, **{api.text_field: None})
        case "too long":
            return await api.call(served, **api.too_long())
        case "body over its limit":
            return await api.call(served, extra="x" * 100_000)
        case "wrong key":
            return await api.call(served, key="s3cre\xff")
        case "rate spent":
            await api.call(served, key=KEY)
            return await api.call(served, key=KEY)
        case "queue full":
            served.engine.queue_tokens = served.engine.max_queue_tokens
        case "draining":
            served.lifecycle.start_draining()
        case "no JSON":
            return await api.send(served, b"[]")
    return await api.call(served)


@pytest.mark.parametrize("case", [case for case in EXPECTED if case != "failed decode"])
@EVERY_API
async def test_a_refusal_has_the_status_and_the_shape_of_its_api(api: Api, case: str):
    answer = await provoke(api, case)
    assert (answer.status, answer.json) == expected(api, case)
    assert answer.headers["content-type"] == "application/json"
    assert ("retry-after" in answer.headers) == (answer.status in (429, 503))
    assert ("www-authenticate" in answer.headers) == (answer.status == 401)
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("api", [api for api in APIS if api.path != "/generate_stream"], ids=lambda api: api.name)
async def test_a_failure_has_the_status_and_the_shape_of_its_api(api: Api):
    answer = await provoke(api, "failed decode")
    assert (answer.status, answer.json) == expected(api, "failed decode")


@EVERY_API
async def test_the_right_key_opens_the_api(api: Api):
    served = scripted_app(api_keys=f"alice:{KEY}")
    assert (await api.call(served, key=KEY)).status == 200


@EVERY_API
async def test_the_key_comes_before_the_fields(api: Api):
    served = scripted_app(api_keys=f"alice:{KEY}")
    for changes in ({api.text_field: None}, {api.text_field: 5}, {api.target_field: None}):
        answer = await api.call(served, key="wrong", **changes)
        assert (answer.status, answer.json) == expected(api, "wrong key")


@pytest.mark.parametrize("api", [DEEPL, *APIS[2:]], ids=lambda api: api.name)
async def test_a_key_in_a_header_comes_before_the_gate_and_the_body(api: Api):
    served = scripted_app(api_keys=f"alice:{KEY}")
    served.lifecycle.start_draining()
    answer = await Exchange(served.app, "POST", api.path, body=None).wait()
    assert (answer.status, answer.json) == expected(api, "no key")
    assert answer.num_received == 0


@EVERY_API
async def test_the_gate_refuses_before_the_body_is_read(api: Api):
    served = scripted_app()
    served.engine.queue_tokens = served.engine.max_queue_tokens
    answer = await Exchange(served.app, "POST", api.path, body=None).wait()
    assert (answer.status, answer.num_received) == (429, 0)


async def test_refusals_are_counted_by_their_outcome():
    served = scripted_app()
    await LIBRETRANSLATE.call(served, target="zz")
    await DEEPL.call(served)
    served.engine.queue_tokens = served.engine.max_queue_tokens
    await DEEPL.call(served)
    page = served.metrics.render().decode()
    for endpoint, outcome in (("/translate", "invalid"), ("/v2/translate", "ok"), ("/v2/translate", "refused")):
        assert f'kakehashi_requests_total{{endpoint="{endpoint}",outcome="{outcome}"}} 1.0' in page


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/translate", 405, {"error": "Method Not Allowed"}),
        ("GET", "/detect", 405, {"error": "Method Not Allowed"}),
        ("POST", "/languages", 405, {"error": "Method Not Allowed"}),
        ("POST", "/health", 405, {"error": "Method Not Allowed"}),
        ("GET", "/v2/translate", 405, {"message": "Method Not Allowed"}),
        ("GET", "/v2/document", 404, {"message": "Not Found"}),
        ("POST", "/v2/write/rephrase", 404, {"message": "Not Found"}),
        ("GET", "/generate", 405, {"error": "Method Not Allowed"}),
    ],
)
async def test_what_is_not_there_is_refused_in_the_shape_of_its_api(
    scripted: ScriptedApp, method: str, path: str, status: int, body: dict[str, str]
):
    answer = await Exchange(scripted.app, method, path).wait()
    assert (answer.status, answer.json) == (status, body)


@EVERY_API
async def test_an_unexpected_error_has_the_shape_of_its_api(api: Api, monkeypatch: pytest.MonkeyPatch):
    served = scripted_app()

    async def break_down(request: object, *, deadline: float) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(served.translator, "prepare", break_down)
    exchange = Exchange(served.app, "POST", api.path, body=as_json(dict(api.body)), headers=JSON)
    with pytest.raises(RuntimeError):  # passed on to the server's log
        await exchange.wait()
    assert exchange.status == 500
    assert set(exchange.json) <= {"error", "error_type", "message"}
    assert "secret" not in exchange.body.decode()
