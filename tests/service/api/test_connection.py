"""Laws of a connection, on real sockets: an end of sending is no hang-up, and nothing hides a hang-up."""

import gc
import http.client
import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from loadtests.bench.loopback import wait_until
from service.api.connection import CONTINUE, MAX_HELD_BYTES, MAX_HELD_REQUESTS, Connection
from service.api.errors import ClientGoneError
from service.api.half_close import PROBE_PAUSES_SECONDS
from service.api.sse import EventStreamResponse, EventWriter, until_gone
from tests.support.http_server import KEEP_ALIVE_SECONDS, HttpServer, Work, read_all, read_exactly, serving

HANG_UP_SECONDS = 5.0
QUICK = b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"
QUICK_AND_CLOSE = b"GET /quick HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def post(path: str, version: str = "1.1", *, length: int = 4, body: bytes = b"body") -> bytes:
    return f"POST {path} HTTP/{version}\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode() + body


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture(params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest, work: Work) -> Iterator[HttpServer]:
    """`/plain` and `/stream` take until `work` is released, `/quick` and `/told`, with the headers, answer at once."""

    async def quick(_: Request) -> Response:
        return PlainTextResponse("quick")

    async def plain(request: Request) -> Response:
        await request.body()
        try:
            await until_gone(request.receive, work.run())
        except ClientGoneError:
            return Response(status_code=400)
        return PlainTextResponse("plain")

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        async def tell(writer: EventWriter) -> None:
            await writer.write(b"data: first\n\n", more=True)
            await work.run()
            await writer.write(b"data: last\n\n", more=False)

        await Request(scope, receive).body()
        await EventStreamResponse(tell)(scope, receive, send)

    class Stream:  # an ASGI app and no endpoint
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await stream(scope, receive, send)

    async def told(request: Request) -> Response:
        await request.body()
        return PlainTextResponse(" ".join(request.headers))

    routes = [
        Route("/quick", quick),
        Route("/told", told, methods=["POST"]),
        Route("/plain", plain, methods=["POST"]),
        Route("/stream", Stream()),
    ]
    with serving(Starlette(routes=routes), loop=request.param) as server:
        yield server


@pytest.fixture
def count_kept() -> Iterator[Callable[[type], int]]:
    """Counts the objects of a type that are still there without garbage collection."""
    gc.collect()
    gc.disable()
    yield lambda kind: sum(type(each) is kind for each in gc.get_objects())
    gc.enable()


def test_nothing_holds_a_connection_that_was_reset(server: HttpServer, count_kept: Callable[[type], int]):
    with server.connect(QUICK) as connection:
        read_exactly(connection, 1)
        assert count_kept(Connection) == 1
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: not count_kept(Connection), "the connection is forgotten", limit_seconds=KEEP_ALIVE_SECONDS / 2)


def test_an_answered_request_leaves_nothing_to_the_garbage_collector(
    server: HttpServer, count_kept: Callable[[type], int]
):
    with server.connect(QUICK) as connection:
        for _ in range(3):
            read_exactly(connection, 1)
            connection.sendall(QUICK)
        connection.shutdown(socket.SHUT_WR)
        read_all(connection)
    wait_until(
        lambda: not count_kept(RequestResponseCycle), "the requests are forgotten", limit_seconds=KEEP_ALIVE_SECONDS / 2
    )


@pytest.mark.parametrize(("path", "end"), [("/plain", b"plain"), ("/stream", b"data: last\n\n\r\n0\r\n\r\n")])
def test_a_half_closed_client_gets_its_whole_answer(server: HttpServer, work: Work, path: str, end: bytes):
    with server.connect(post(path)) as connection:
        work.wait_started()
        connection.shutdown(socket.SHUT_WR)
        begin = connection.recv(len(CONTINUE))
        work.release()
        assert (begin + read_all(connection)).endswith(end)
    assert (begin == CONTINUE) == (path == "/plain")


def test_clients_skip_the_interim_responses(server: HttpServer, work: Work):
    client = http.client.HTTPConnection("127.0.0.1", server.port)
    client.request("POST", "/plain", b"body")
    work.wait_started()
    client.sock.shutdown(socket.SHUT_WR)
    client.sock.recv(1, socket.MSG_PEEK)
    work.release()
    answer = client.getresponse()
    assert (answer.status, answer.read(), answer.headers["connection"]) == (200, b"plain", "close")
    client.close()


def test_a_waiting_client_gets_no_more_interim_responses_than_every_client_takes(server: HttpServer, work: Work):
    with server.connect(post("/plain")) as connection:
        connection.shutdown(socket.SHUT_WR)
        num_probes = len(PROBE_PAUSES_SECONDS) + 1
        assert read_exactly(connection, len(CONTINUE) * num_probes) == CONTINUE * num_probes
        work.release()
        assert read_all(connection).startswith(b"HTTP/1.1 200 OK\r\n")
    assert num_probes < 5


@pytest.mark.parametrize("behind", [b"", QUICK], ids=["alone", "pipelined"])
@pytest.mark.parametrize("path", ["/plain", "/stream"])
def test_a_client_that_is_gone_is_noticed(server: HttpServer, work: Work, path: str, behind: bytes):
    connection = server.connect(post(path))
    work.wait_started()
    if path == "/stream":
        connection.recv(1 << 16)  # unread data would turn the FIN into a reset
    connection.sendall(behind)
    connection.close()
    assert work.was_cancelled.wait(HANG_UP_SECONDS)


def test_a_client_that_ends_its_sending_first_and_goes_then_is_noticed(server: HttpServer, work: Work):
    connection = server.connect(post("/plain"))
    work.wait_started()
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(len(CONTINUE)) == CONTINUE
    connection.close()
    assert work.was_cancelled.wait(HANG_UP_SECONDS)


def test_an_end_of_sending_is_the_hang_up_of_a_client_that_knows_no_interim_responses(server: HttpServer, work: Work):
    with server.connect(post("/plain", "1.0")) as connection:
        work.wait_started()
        connection.shutdown(socket.SHUT_WR)
        assert work.was_cancelled.wait(HANG_UP_SECONDS)
        assert read_all(connection) == b""


@pytest.mark.parametrize("sent", [b"", QUICK[:9], post("/plain", length=5)], ids=["nothing", "head", "body"])
def test_an_end_of_sending_within_a_request_closes_the_connection(server: HttpServer, work: Work, sent: bytes):
    with server.connect(sent) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection) == b""
    assert not work.has_started.is_set()


@pytest.mark.parametrize("is_half_closed", [False, True])
def test_pipelined_requests_are_answered_in_order(server: HttpServer, work: Work, is_half_closed: bool):
    with server.connect(post("/plain"), QUICK) as connection:
        work.wait_started()
        connection.sendall(QUICK if is_half_closed else QUICK_AND_CLOSE)
        if is_half_closed:
            connection.sendall(QUICK[:20])  # cut short: it gets no answer
            connection.shutdown(socket.SHUT_WR)
        work.release()
        received = read_all(connection).replace(CONTINUE, b"")
    assert [part[-5:] for part in received.split(b"HTTP/1.1 200 OK\r\n")[1:]] == [b"plain", b"quick", b"quick"]


@pytest.mark.parametrize(
    "behind",
    [
        post("/quick", length=10**6, body=b"x" * (MAX_HELD_BYTES + 1)),
        QUICK * (MAX_HELD_REQUESTS + 1),
        b"no HTTP\r\n\r\n",
    ],
    ids=["bytes", "requests", "garbage"],
)
def test_too_much_behind_a_request_ends_the_connection_after_its_answer(server: HttpServer, work: Work, behind: bytes):
    with server.connect(post("/plain")) as connection:
        work.wait_started()
        connection.sendall(behind)
        work.release()
        received = read_all(connection)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.endswith(b"plain")


def test_too_much_behind_a_request_hides_no_hang_up(server: HttpServer, work: Work):
    connection = server.connect(post("/plain"))
    work.wait_started()
    connection.sendall(post("/quick", length=10**7, body=bytes(10**6)))
    connection.close()
    assert work.was_cancelled.wait(HANG_UP_SECONDS)


def test_trailers_are_not_headers(server: HttpServer):
    head = b"POST /told HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    with server.connect(head, b"2\r\n{}\r\n0\r\nAuthorization: y\r\nX-T: z\r\n\r\n") as connection:
        assert read_all(connection).endswith(b"\r\n\r\nhost connection transfer-encoding")
