"""Laws of request bodies, on real sockets: one limit, refusals that can be read, and hang-ups that are no errors."""

import http.client
import json
import socket
from collections.abc import Iterator
from queue import Queue

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from service.api import body_limit
from service.api.access_log import AccessLog
from service.api.body_limit import BodyLimit, BodyPace
from service.api.errors import install_error_handlers
from service.api.middleware import RequestRecorder
from service.api.record import RequestRecord
from service.api.sse import until_gone
from service.errors import QueueFullError
from service.observability.metrics import Metrics
from service.observability.request_telemetry import RequestTelemetry
from tests.support.http_server import LIMIT_SECONDS, HttpServer, Work, read_all, read_exactly, serving

MAX_BYTES = 100_000
LARGE = b"a" * 5_000_000
"""More than the buffers of a loopback connection hold."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Document(BaseModel):
    text: str


class Ends(AccessLog):
    """The outcome and status of each request, once it is over."""

    def __init__(self) -> None:
        super().__init__(with_texts=False)
        self._queue: Queue[tuple[str, int | None]] = Queue()

    def write(self, record: RequestRecord, *, outcome: str, **_: object) -> None:
        self._queue.put((outcome, record.status))

    def next(self) -> tuple[str, int | None]:
        return self._queue.get(timeout=LIMIT_SECONDS)


@pytest.fixture
def ends() -> Ends:
    return Ends()


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def server(ends: Ends, work: Work) -> Iterator[HttpServer]:
    app = FastAPI()
    install_error_handlers(app)
    app.add_middleware(BodyLimit, max_bytes=MAX_BYTES, pace=BodyPace(arrival_seconds=20.0, min_bytes_per_second=1024))
    app.add_middleware(RequestRecorder, observer=RequestTelemetry(Metrics()), access_log=ends)

    @app.api_route("/read", methods=["GET", "POST"])
    async def read(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    @app.api_route("/ignore", methods=["GET", "POST"])
    async def ignore() -> Response:
        return PlainTextResponse("ignored")

    @app.post("/parse")
    async def parse(document: Document) -> Document:
        return document

    @app.post("/busy")
    async def busy() -> None:
        raise QueueFullError("too much waits", retry_after_seconds=1)

    @app.get("/work")
    async def wait(request: Request) -> Response:
        await until_gone(request.receive, work.run())
        return PlainTextResponse("done")

    with serving(app) as server:
        yield server


def ask(server: HttpServer, method: str, path: str, body: bytes, *, is_chunked: bool = False) -> tuple[int, bytes]:
    """Send everything before reading, like simple clients, and close the connection after the answer."""
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_SECONDS)
    pieces = (body[start : start + 50_000] for start in range(0, len(body), 50_000))
    headers = {"Connection": "close", "Content-Type": "application/json"}
    headers |= {"Transfer-Encoding": "chunked"} if is_chunked else {"Content-Length": str(len(body))}
    client.request(method, path, pieces, headers, encode_chunked=is_chunked)
    answer = client.getresponse()
    content = answer.read()
    client.close()
    return answer.status, content


def head(method: str, path: str, *headers: str) -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/read"), ("GET", "/read"), ("GET", "/ignore"), ("GET", "/work")]
)
def test_a_body_over_the_limit_is_refused_in_words_that_a_plain_client_reads(
    server: HttpServer, method: str, path: str, is_chunked: bool
):
    for body in (bytes(MAX_BYTES + 1), LARGE):
        status, content = ask(server, method, path, body, is_chunked=is_chunked)
        assert (status, json.loads(content)["detail"]) == (413, f"the body is longer than {MAX_BYTES} bytes")


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_body_of_the_limit_reaches_its_route(server: HttpServer, method: str, is_chunked: bool):
    assert ask(server, method, "/read", bytes(MAX_BYTES), is_chunked=is_chunked) == (200, str(MAX_BYTES).encode())
    assert ask(server, method, "/ignore", bytes(MAX_BYTES), is_chunked=is_chunked) == (200, b"ignored")


@pytest.mark.parametrize(("body", "is_chunked"), [(LARGE, True), (bytes(MAX_BYTES), False)], ids=["large", "allowed"])
def test_a_refusal_before_the_body_was_read_reaches_a_plain_client(server: HttpServer, body: bytes, is_chunked: bool):
    status, content = ask(server, "POST", "/busy", body, is_chunked=is_chunked)
    assert (status, json.loads(content)["detail"]) == (429, "too much waits")


def test_a_refusal_of_a_body_that_has_arrived_keeps_the_connection(server: HttpServer):
    with socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_SECONDS) as client:
        for _ in range(2):
            client.sendall(b"POST /busy HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)  # at once
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert (answer.status, answer.headers["connection"]) == (429, None)
            answer.read()


@pytest.mark.parametrize(("path", "status", "length"), [("/busy", 429, 5), ("/read", 413, MAX_BYTES + 1)])
def test_a_client_that_waits_to_be_invited_gets_the_refusal_alone(
    server: HttpServer, path: str, status: int, length: int
):
    with server.connect(head("POST", path, f"Content-Length: {length}", "Expect: 100-continue")) as connection:
        received = read_all(connection)
    assert received.startswith(f"HTTP/1.1 {status} ".encode())
    assert b"\r\nconnection: close\r\n" in received


def test_a_client_that_waits_to_be_invited_is(server: HttpServer):
    headers = ["Content-Length: 5", "Expect: 100-continue", "Connection: close"]
    with server.connect(head("POST", "/read", *headers)) as connection:
        assert read_exactly(connection, len(CONTINUE)) == CONTINUE
        connection.sendall(b"hello")
        assert read_all(connection).endswith(b"\r\n\r\n5")


@pytest.mark.parametrize(("limit", "value"), [("MAX_DRAIN_SECONDS", 0.1), ("MAX_DRAINED_BYTES", 1000)])
def test_a_refused_upload_is_not_read_for_ever(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch, limit: str, value: float
):
    monkeypatch.setattr(body_limit, limit, value)
    with server.connect(head("POST", "/busy", "Content-Length: 90000"), bytes(2000)) as connection:
        received = read_exactly(connection, 1)
        if limit == "MAX_DRAINED_BYTES":
            connection.sendall(bytes(2000))
        received += read_all(connection)
    assert received.startswith(b"HTTP/1.1 429 ")


@pytest.mark.parametrize("ending", ["close", "shutdown"])
@pytest.mark.parametrize(("method", "path"), [("POST", "/parse"), ("POST", "/read"), ("GET", "/ignore")])
def test_a_hang_up_within_the_body_is_a_cancelled_request(
    server: HttpServer, ends: Ends, method: str, path: str, ending: str
):
    begin = head(method, path, "Content-Length: 50", "Content-Type: application/json")
    with server.connect(begin, b'{"text": "a') as connection:
        if ending == "shutdown":
            connection.shutdown(socket.SHUT_WR)
            assert read_all(connection) == b""
    assert ends.next() == ("cancelled", 499)


def test_a_hang_up_after_the_body_of_a_get_is_noticed(server: HttpServer, work: Work, ends: Ends):
    with server.connect(head("GET", "/work", "Transfer-Encoding: chunked"), b"3\r\nabc\r\n0\r\n\r\n"):
        work.wait_started()
    assert work.was_cancelled.wait(LIMIT_SECONDS)
    assert ends.next() == ("cancelled", 499)
