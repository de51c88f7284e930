"""Laws of an answer on its way, on real sockets: it waits for its client, but not for ever."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from loadtests.bench.loopback import wait_until
from service.api import delivery
from service.api.connections import ConnectionLimits
from service.api.middleware import RequestRecorder
from service.api.sse import EventStreamResponse, EventWriter
from tests.support.http_server import HttpServer, read_all, serving

ANSWER = bytes(4 << 20)
SMALL_ANSWER = bytes(14_000)
"""More than a small window and less than what the system buffers."""
CHUNK = bytes(10_000)
NUM_CHUNKS = 400
LOOPBACK = "0100007F"
"""127.0.0.1 as Linux lists it on machines that store the lowest byte first."""


class Outcomes(list[str]):
    def on_request_ended(self, endpoint: str, *, outcome: str, is_stream: bool, seconds: float) -> None:
        self.append(outcome)


class Stream:
    """NUM_CHUNKS as fast as they are taken."""

    def __init__(self) -> None:
        self.num_written = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await EventStreamResponse(self._tell)(scope, receive, send)

    async def _tell(self, writer: EventWriter) -> None:
        for number in range(NUM_CHUNKS):
            await writer.write(CHUNK, more=number < NUM_CHUNKS - 1)
            await asyncio.sleep(0)  # for the loss of the connection to end this
            self.num_written += 1


@pytest.fixture
def outcomes() -> Outcomes:
    return Outcomes()


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture(params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest, outcomes: Outcomes, stream: Stream) -> Iterator[HttpServer]:
    async def plain(_: Request) -> Response:
        return Response(ANSWER)

    async def small(_: Request) -> Response:
        return Response(SMALL_ANSWER)

    app = Starlette(
        routes=[Route("/plain", plain), Route("/small", small), Route("/stream", stream)],
        middleware=[Middleware(RequestRecorder, observer=outcomes)],
    )
    with serving(app, loop=request.param, limits=ConnectionLimits(stall_seconds=0.3)) as server:
        yield server


def get(server: HttpServer, path: str, *, receive_buffer: int = 4096) -> socket.socket:
    """A connection on which an answer is on its way, and nothing of it was read."""
    connection = server.connect(receive_buffer=receive_buffer)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return connection


@pytest.mark.parametrize("path", ["/plain", "/stream"])
def test_a_client_that_reads_nothing_is_cut_off_and_counts_as_cancelled(
    server: HttpServer, outcomes: Outcomes, path: str
) -> None:
    with get(server, path) as connection:
        wait_until(lambda: outcomes, "the request has ended")
        assert outcomes == ["cancelled"]
        with pytest.raises(ConnectionResetError):
            read_all(connection)


def test_the_system_keeps_nothing_for_long_that_nobody_reads_after_the_close(
    server: HttpServer, outcomes: Outcomes
) -> None:
    with get(server, "/small") as connection:
        ends = [f"{LOOPBACK}:{port:04X}" for port in (server.port, connection.getsockname()[1])]

        def is_kept() -> bool:
            return any(line.split()[1:3] == ends for line in Path("/proc/net/tcp").read_text().splitlines())

        wait_until(lambda: outcomes, "the request has ended")
        assert is_kept()
        wait_until(lambda: not is_kept(), "the system has dropped the connection", limit_seconds=10)


def test_little_is_written_to_a_client_that_reads_nothing(
    server: HttpServer, outcomes: Outcomes, stream: Stream
) -> None:
    with get(server, "/stream"):
        wait_until(lambda: outcomes, "the request has ended")
        held = delivery.PIECE_BYTES + delivery.MAX_BUFFERED_BYTES + 2 * delivery.MAX_UNSENT_BYTES + 2 * 4096
        assert stream.num_written * len(CHUNK) <= held


@pytest.mark.parametrize("path", ["/plain", "/stream"])
def test_a_client_that_reads_gets_all_of_it(server: HttpServer, outcomes: Outcomes, path: str) -> None:
    with get(server, path, receive_buffer=1 << 20) as connection:
        received = read_all(connection)
    assert len(received) > min(len(ANSWER), NUM_CHUNKS * len(CHUNK))
    wait_until(lambda: outcomes, "the request has ended")
    assert outcomes == ["ok"]


def test_a_client_that_hangs_up_in_the_middle_counts_as_cancelled(server: HttpServer, outcomes: Outcomes) -> None:
    with get(server, "/plain") as connection:
        connection.recv(1000)
    wait_until(lambda: outcomes, "the request has ended")
    assert outcomes == ["cancelled"]
