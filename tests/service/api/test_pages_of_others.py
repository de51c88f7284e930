"""Laws for pages of other sites in a browser on this machine: they neither read answers nor make the server work."""

import pytest

from tests.support.asgi import JSON, as_json, call
from tests.support.scripted_app import ScriptedApp, scripted_app

GOOD = {"text": "Hello", "source_lang": "en", "target_lang": "de"}
QUERY = b"text=Hello&source_lang=en&target_lang=de"
STREAM = "/v1/translations/stream"
CROSS_SITE = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
ORIGIN = "https://page.example"


@pytest.fixture(scope="module")
def local() -> ScriptedApp:
    return scripted_app(allowed_hosts=("localhost", "127.0.0.1", "[::1]"))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "127.0.0.1", "[::1]:8000", "[::1]"])
async def test_a_listed_host_is_served_at_any_port(local: ScriptedApp, host: str):
    assert (await call(local.app, "GET", "/v1/languages", headers={"host": host})).status == 200


@pytest.mark.parametrize("path", ["/v1/languages", "/", "/docs", "/openapi.json", "/nowhere", "/v2/languages"])
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8000", "127.0.0.1.evil.example", "[::2]", ""])
async def test_another_host_is_refused(local: ScriptedApp, host: str, path: str):
    answer = await call(local.app, "GET", path, headers={"host": host})
    assert answer.status == 400
    assert "is not served here; KAKEHASHI_ALLOWED_HOSTS lists the hosts" in answer.body.decode()


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics", "/v1/languages"])
async def test_probes_may_name_any_host_and_programs_may_name_none(local: ScriptedApp, path: str):
    headers = {} if path.startswith("/v1") else {"host": "10.0.0.7:8000"}
    assert (await call(local.app, "GET", path, headers=headers)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", STREAM, {}),
        ("HEAD", STREAM, {}),
        ("POST", "/v1/translations", GOOD),
        ("POST", "/v1/detect", {"text": "Hello"}),
        ("POST", "/translate", {"q": "Hello", "source": "en", "target": "de"}),
        ("POST", "/", {"inputs": "Hello"}),
    ],
)
@pytest.mark.parametrize("origin", [None, ORIGIN, "null"])
async def test_no_work_is_done_for_a_page_of_another_site(
    scripted: ScriptedApp, method: str, path: str, body: dict[str, str], origin: str | None
):
    headers = JSON | CROSS_SITE | ({} if origin is None else {"origin": origin})
    answer = await call(scripted.app, method, path, query=QUERY * (not body), body=as_json(body), headers=headers)
    assert answer.status == 400
    assert method == "HEAD" or "a page of another site may not use this server" in answer.body.decode()
    assert scripted.is_idle()


@pytest.mark.parametrize("origins", [(ORIGIN,), ("*",)])
async def test_a_page_whose_origin_cors_allows_may_translate(origins: tuple[str, ...]):
    headers = CROSS_SITE | {"origin": ORIGIN}
    served = scripted_app(cors_origins=origins)
    assert (await call(served.app, "GET", STREAM, query=QUERY, headers=headers)).status == 200
    other = await call(served.app, "GET", STREAM, query=QUERY, headers=headers | {"origin": "https://other.example"})
    assert other.status == (200 if origins == ("*",) else 400)


@pytest.mark.parametrize("site", ["same-origin", "same-site", "none"])
async def test_own_pages_and_addresses_that_were_typed_may_translate(scripted: ScriptedApp, site: str):
    answer = await call(scripted.app, "GET", STREAM, query=QUERY, headers={"sec-fetch-site": site})
    assert answer.status == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/languages", "/nowhere", STREAM, "/playground/main.js"])
async def test_every_answer_has_the_security_headers(scripted: ScriptedApp, path: str):
    headers = (await call(scripted.app, "GET", path)).headers
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert "frame-ancestors 'none'" in headers.getlist("content-security-policy")
    assert [len(headers.getlist(name)) for name in ("x-content-type-options", "referrer-policy")] == [1, 1]
