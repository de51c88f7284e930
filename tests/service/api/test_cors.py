"""Laws of CORS: off unless origins are set, then on every answer whatever its status, and no preflight needs a key."""

import pytest
from starlette.types import ASGIApp

from service.api.cors import REQUEST_HEADERS
from tests.support.asgi import JSON, Exchange, as_json, call
from tests.support.scripted_app import ScriptedApp, scripted_app

PAGE, OTHER = "https://page.example", "https://other.example"
GOOD = {"text": "Hello", "source_lang": "en", "target_lang": "de"}
KEY = {"authorization": "Bearer s3cret"}


@pytest.fixture(params=[PAGE, "*"])
def shared(request: pytest.FixtureRequest) -> ScriptedApp:
    return scripted_app(api_keys="alice:s3cret", cors_origins=(request.param,), max_queue_tokens=40)


def check_shared(answer: Exchange, status: int) -> None:
    assert answer.status == status
    assert answer.headers["access-control-allow-origin"] in (PAGE, "*")
    assert set(answer.headers["access-control-expose-headers"].split(", ")) == {"X-Request-ID", "Retry-After"}
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["x-request-id"]


async def translate(app: ASGIApp, body: bytes = as_json(GOOD), **headers: str) -> Exchange:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await call(app, "POST", "/v1/translations", body=body, headers=JSON | KEY | {"origin": PAGE} | given)


async def preflight(app: ASGIApp, **headers: str) -> Exchange:
    asked = {"origin": PAGE, "access-control-request-method": "POST"} | headers
    return await call(app, "OPTIONS", "/v1/translations", headers=asked)


async def test_answers_streams_and_refusals_carry_the_headers(shared: ScriptedApp):
    check_shared(await translate(shared.app), 200)
    stream = await translate(shared.app, as_json(GOOD | {"stream": True}))
    check_shared(stream, 200)
    assert stream.events[-1].name == "done"
    check_shared(await translate(shared.app, authorization=""), 401)
    check_shared(await translate(shared.app, b"{"), 422)
    check_shared(await translate(shared.app, content_length="100001"), 413)
    check_shared(await call(shared.app, "GET", "/nowhere", headers={"origin": PAGE}), 404)
    check_shared(await call(shared.app, "GET", "/health/live", headers={"origin": PAGE}), 200)


async def test_overload_and_its_retry_after_can_be_read(shared: ScriptedApp):
    shared.engine.is_ready = False
    answer = await translate(shared.app)
    check_shared(answer, 503)
    assert answer.headers["retry-after"] == "1"


async def test_an_unexpected_error_carries_the_headers(shared: ScriptedApp, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shared.engine, "check_room", lambda _: 1 / 0)

    async def app(scope, receive, send):
        with pytest.raises(ZeroDivisionError):  # for the server's log
            await shared.app(scope, receive, send)

    check_shared(await translate(app), 500)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
async def test_a_preflight_needs_no_key_and_allows_what_clients_send(shared: ScriptedApp, method: str):
    names = ", ".join(REQUEST_HEADERS).lower()
    headers = {"access-control-request-method": method, "access-control-request-headers": names}
    answer = await preflight(shared.app, **headers)
    assert (answer.status, answer.body, "content-type" in answer.headers) == (200, b"", False)
    assert answer.headers["access-control-allow-origin"] in (PAGE, "*")
    assert method in answer.headers["access-control-allow-methods"].split(", ")
    allowed = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert set(names.split(", ")) <= set(allowed)
    assert answer.headers["x-request-id"]


async def test_a_page_of_another_origin_gets_no_permission():
    served = scripted_app(cors_origins=(PAGE,))
    for answer in (await preflight(served.app, origin=OTHER), await translate(served.app, origin=OTHER)):
        assert "access-control-allow-origin" not in answer.headers
        assert "Origin" in answer.headers["vary"]
        assert answer.status == 200


async def test_without_origins_there_is_no_cors(scripted: ScriptedApp):
    assert "access-control-allow-origin" not in (await translate(scripted.app)).headers
    assert (await preflight(scripted.app)).status == 405
