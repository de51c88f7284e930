"""Laws of heads, bodies and connections that cost more than they should, on real sockets."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from threading import Semaphore

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.api.body_limit import MAX_DRAIN_SECONDS, BodyPace
from service.api.connections import NUM_RESERVED, ConnectionLimits
from tests.support.http_server import LIMIT_SECONDS, HttpServer, read_all, serving
from tests.support.scripted_app import ScriptedApp, scripted_app

LIMITS = ConnectionLimits(max_connections=4, max_head_bytes=10_000, max_headers=20, arrival_seconds=0.3)
GET = b"GET /v1/languages HTTP/1.1\r\nHost: x\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
MORE_THAN_A_READ = 1 << 20
NUM_OPEN = LIMITS.max_connections + NUM_RESERVED


def post(path: str, body: bytes) -> bytes:
    return b"POST %b HTTP/1.1\r\nHost: x\r\n" % path.encode() + CHUNKED + body


@pytest.fixture
def scripted() -> ScriptedApp:
    return scripted_app(body_pace=BodyPace(arrival_seconds=0.2, min_bytes_per_second=1000))


@pytest.fixture(params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest, scripted: ScriptedApp) -> Iterator[HttpServer]:
    with serving(scripted.app, loop=request.param, limits=LIMITS) as server:
        yield server


@pytest.fixture(params=["asyncio", "uvloop"])
def patient_server(request: pytest.FixtureRequest) -> Iterator[HttpServer]:
    """A server that gives heads and bodies the usual time."""
    limits = replace(LIMITS, arrival_seconds=20.0)
    with serving(scripted_app().app, loop=request.param, limits=limits) as server:
        yield server


def problem(connection: socket.socket, status: int) -> str:
    """The detail of the one answer, after which the connection ends."""
    head, _, body = read_all(connection).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), head
    assert b"\r\nconnection: close" in head.lower()
    assert b"\r\nx-request-id: req-" in head.lower()
    content = json.loads(body)
    assert content["status"] == status
    return str(content["detail"])


@pytest.mark.parametrize(
    ("sent", "status", "detail"),
    [
        (GET + b"a: " + b"x" * 20_000, 431, "longer than 10000 bytes"),
        (GET + b"a: " + b"x" * 20_000 + b"\r\n\r\n", 431, "longer than 10000 bytes"),
        (GET + b"a: b\r\n" * 20 + b"\r\n", 431, "more than 20 headers"),
        (GET + b"a: ", 408, "longer than 0.3 s"),
        (b"no HTTP\r\n\r\n", 400, "not HTTP/1.1"),
    ],
    ids=["endless", "large", "many", "slow", "garbage"],
)
def test_a_bad_head_is_a_problem_and_the_end(server: HttpServer, sent: bytes, status: int, detail: str) -> None:
    with server.connect(sent) as connection:
        assert detail in problem(connection, status)


@pytest.mark.parametrize(
    ("begin", "status"),
    [
        (post("/v1/translations", b"2\r\n{}\r\n0\r\nX-T: "), 431),
        (post("/v1/translations", b"2;"), 431),
        (GET + CHUNKED + b"2\r\n{}\r\n0\r\nX-T: ", 431),
        (post("/nowhere", b"2\r\n{}\r\n0\r\nX-T: "), 404),
    ],
    ids=["trailer", "extension", "unread", "answered"],
)
def test_what_is_endless_between_chunks_is_the_end(patient_server: HttpServer, begin: bytes, status: int) -> None:
    with patient_server.connect(begin, b"x" * MORE_THAN_A_READ) as connection:
        began = time.monotonic()
        detail = problem(connection, status)
        assert time.monotonic() - began < MAX_DRAIN_SECONDS / 2
    if status == 431:
        assert "chunk extensions or trailers of the body are longer than 10000 bytes" in detail


def test_a_body_in_the_smallest_chunks_is_read(patient_server: HttpServer) -> None:
    body = json.dumps({"text": "Good morning. " * 120}).encode()
    chunks = b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in body)
    with patient_server.connect(post("/v1/detect", chunks + b"0\r\nX-T: 1\r\n\r\n")) as connection:
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def test_a_broken_chunk_is_refused_at_once(patient_server: HttpServer) -> None:
    with patient_server.connect(post("/v1/translations", b"zz\r\n")) as connection:
        assert "not HTTP/1.1" in problem(connection, 400)


def test_a_refused_head_is_counted(server: HttpServer, scripted: ScriptedApp) -> None:
    with server.connect(GET + b"a: ") as connection:
        problem(connection, 408)
    assert b'kakehashi_requests_total{endpoint="unmatched",outcome="invalid"} 1.0' in scripted.metrics.render()


def test_a_body_that_stops_coming_is_a_problem_and_the_end(server: HttpServer) -> None:
    head = b"POST /v1/translations HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
    with server.connect(head, b"x" * 100) as connection:
        assert problem(connection, 408).startswith("100 bytes of the body came in time")


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
def test_a_connection_without_a_request_is_closed(server: HttpServer, sent: bytes) -> None:
    with server.connect(sent) as connection:
        assert read_all(connection) == b""


def test_beyond_the_limit_only_health_and_metrics_are_served(server: HttpServer, scripted: ScriptedApp) -> None:
    with ExitStack() as stack:
        for _ in range(LIMITS.max_connections):
            other = stack.enter_context(server.connect(LIVE))
            assert other.recv(1)
        refused = stack.enter_context(server.connect(GET + b"\r\n"))
        assert "4 connections are open" in problem(refused, 503)
        probe = stack.enter_context(server.connect(LIVE[:-2] + b"Connection: close\r\n\r\n"))
        assert read_all(probe).startswith(b"HTTP/1.1 200 ")
    assert b'kakehashi_refused_total{reason="too-many-connections"} 1.0' in scripted.metrics.render()


@pytest.mark.parametrize(
    "sent",
    [b"", GET, LIVE[:-2] + CHUNKED + b"2\r\n{", LIVE],
    ids=["nothing", "a part of a head", "a part of a body", "an earlier request"],
)
def test_connections_that_wait_for_a_request_give_way_to_a_health_check(
    patient_server: HttpServer, sent: bytes
) -> None:
    with ExitStack() as stack:
        waiting = []
        for _ in range(NUM_OPEN + 5):
            waiting.append(stack.enter_context(patient_server.connect(sent)))
            if sent == LIVE:
                assert waiting[-1].recv(1)
        probe = stack.enter_context(patient_server.connect(LIVE))
        assert probe.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        began = time.monotonic()
        for connection in waiting[:5]:
            with suppress(ConnectionResetError):  # what it sent may not have been read
                read_all(connection)
        assert time.monotonic() - began < LIMIT_SECONDS / 2


def test_a_connection_that_is_being_answered_does_not_give_way() -> None:
    num_started = Semaphore(0)

    async def wait(request: Request) -> Response:
        await request.body()
        num_started.release()
        await request.receive()
        return Response()

    app = Starlette(routes=[Route("/health/live", wait)])
    with serving(app, limits=LIMITS) as server, ExitStack() as stack:
        for _ in range(NUM_OPEN):
            stack.enter_context(server.connect(LIVE))
            assert num_started.acquire(timeout=LIMIT_SECONDS)
        # The reset may come before the connection is handed out.
        with pytest.raises(ConnectionResetError), server.connect() as one_more:
            read_all(one_more)


def test_connections_to_one_port_take_no_place_at_the_other(patient_server: HttpServer) -> None:
    with ExitStack() as stack:
        for _ in range(NUM_OPEN):
            stack.enter_context(patient_server.connect())
        other = stack.enter_context(patient_server.connect(GET + b"\r\n", port=patient_server.operation_port))
        assert other.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
