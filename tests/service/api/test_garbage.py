"""Requests are freed by reference counting. A garbage collection would visit all others in flight and stop the loop."""

import gc
import json
from collections.abc import Iterator

import pytest

from tests.support.client import request_body
from tests.support.http_server import HttpServer, read_all, serving
from tests.support.scripted_app import scripted_app

NUM_REQUESTS = 10
REQUESTS = {
    "plain": (200, request_body("Hello.", "en", "de")),
    "stream": (200, request_body("Hello.", "en", "de", stream=True)),
    "refused": (422, request_body("Hello.", "en", "de", zz=1)),
}


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with serving(scripted_app().app) as server:
        yield server


@pytest.fixture
def _no_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("kind", REQUESTS)
@pytest.mark.usefixtures("_no_collection")
def test_a_request_leaves_nothing_to_the_garbage_collector(server: HttpServer, kind: str) -> None:
    status, fields = REQUESTS[kind]
    body = json.dumps(fields).encode()
    head = b"POST /v1/translations HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)

    def exchange() -> None:
        with server.connect(head + body) as connection:
            assert read_all(connection).startswith(b"HTTP/1.1 %d" % status)

    exchange()
    gc.collect()  # what the first request of a kind prepares for the others
    for _ in range(NUM_REQUESTS):
        exchange()
    assert gc.collect() < NUM_REQUESTS
