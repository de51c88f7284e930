"""Laws of HTTP that every route keeps, on real sockets: HEAD, trailing slashes, HTTP/1.0, URLs that are too long."""

import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from starlette.routing import Route

from service.api.url_limit import MAX_URL_BYTES
from tests.support.asgi import as_json
from tests.support.http_server import LIMIT_SECONDS, HttpServer, read_all, serving
from tests.support.scripted_app import scripted_app

GOOD = {"text": "Hello", "source_lang": "en", "target_lang": "de"}
STREAM = f"/v1/translations/stream?{urlencode(GOOD)}"
SERVED = scripted_app().app
ROUTES = [route for route in SERVED.routes if isinstance(route, Route)]
PATHS = sorted(route.path for route in ROUTES if "GET" in (route.methods or ()) and "{" not in route.path)
PER_REQUEST = {"date", "x-request-id", "transfer-encoding"}
LISTINGS = {"/v1/languages", "/v1/models", "/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json"}


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with serving(SERVED) as server:
        yield server


def target_of(path: str) -> str:
    return STREAM if STREAM.startswith(f"{path}?") else path


def ask(server: HttpServer, method: str, target: str) -> tuple[int, dict[str, str], bytes]:
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_SECONDS)
    client.request(method, target)
    answer = client.getresponse()
    headers = {name: value for name, value in answer.getheaders() if name not in PER_REQUEST}
    content = answer.read()
    client.close()
    return answer.status, headers, content


def http10(server: HttpServer, method: str, target: str, body: bytes = b"") -> tuple[bytes, bytes]:
    """The head and the body of the answer, as they were sent."""
    head = f"{method} {target} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with server.connect(head, body) as connection:
        begin, _, rest = read_all(connection).partition(b"\r\n\r\n")
    return begin, rest


def test_every_listing_is_among_the_routes_of_these_tests():
    assert set(PATHS) >= LISTINGS | {"/v1/translations/stream"}


@pytest.mark.parametrize("path", PATHS)
def test_head_is_get_without_its_body(server: HttpServer, path: str):
    target = target_of(path)
    status, headers, content = ask(server, "GET", target)
    assert (status, bool(content)) == (200, True)
    head = ask(server, "HEAD", target)
    if path == "/metrics":  # grows with each request, these included
        assert int(headers.pop("content-length")) <= int(head[1].pop("content-length"))
    assert head == (200, headers, b"")


@pytest.mark.parametrize("path", ["/v1/translations", "/v1/translations/stream", "/nowhere"])
def test_head_is_refused_as_get_is(server: HttpServer, path: str):
    status, headers, _ = ask(server, "GET", path)
    assert status in (404, 405, 422)
    assert ask(server, "HEAD", path) == (status, headers, b"")


@pytest.mark.parametrize("path", PATHS)
def test_a_trailing_slash_makes_no_difference(server: HttpServer, path: str):
    route, _, query = target_of(path).partition("?")
    assert ask(server, "GET", f"{route}/?{query}")[0] == 200


@pytest.mark.parametrize("path", [route.path for route in ROUTES if "POST" in (route.methods or ())])
def test_a_trailing_slash_makes_no_difference_to_a_body(server: HttpServer, path: str):
    status = ask(server, "POST", path)[0]
    assert status in (200, 400, 422)  # reached the route, whatever its API makes of an empty body
    assert ask(server, "POST", f"{path}/")[0] == status


def test_an_http_1_0_client_gets_a_stream_without_chunks(server: HttpServer):
    head, body = http10(server, "POST", "/v1/translations", as_json(GOOD | {"stream": True}))
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"transfer-encoding" not in head
    assert b"\r\nconnection: close" in head
    assert body.startswith(b": \n\nevent: start\n")
    assert body.splitlines()[-3] == b"event: done"


def test_an_http_1_0_client_gets_other_answers_as_they_are(server: HttpServer):
    head, body = http10(server, "POST", "/v1/translations", as_json(GOOD))
    assert f"\r\ncontent-length: {len(body)}\r\n".encode() in head + b"\r\n"
    assert json.loads(body)["translations"][0]["text"] == "Hello"
    assert http10(server, "HEAD", STREAM)[1] == b""


@pytest.mark.parametrize("num_bytes", [MAX_URL_BYTES + 1, 1_000_000])
def test_a_url_that_is_too_long_is_refused_with_what_to_do(server: HttpServer, num_bytes: int):
    for method in ("GET", "HEAD"):
        status, headers, content = ask(server, method, f"{STREAM}&text=".ljust(num_bytes, "x"))
        assert (status, headers["content-type"]) == (431, "application/problem+json")
        assert headers["connection"] == "close"
        if method == "GET":
            problem = json.loads(content)
            assert problem["type"] == "urn:kakehashi:problem:head-too-large"
            assert problem["detail"] == "the URL is longer than 65535 bytes: use POST, with the text in the body"


def test_a_url_of_the_limit_is_read(server: HttpServer):
    status, _, content = ask(server, "GET", f"{STREAM}&text=".ljust(MAX_URL_BYTES, "x"))
    assert (status, json.loads(content)["title"]) == (413, "Over a limit")  # the text is read, and too long
