"""Laws of the benchmark's client: it reads all answers of the server, and every failure is a result."""

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from loadtests.bench.lean_client import LeanClient, http_request
from loadtests.bench.load import closed_loop, open_loop
from loadtests.bench.loopback import free_port
from loadtests.bench.source_lines import SourceLine, repeated_source_lines
from tests.support.client import request_body
from tests.support.server import RunningServer

PATH = "/v1/translations"
SENTENCE = SourceLine("en", "de", "How lucky I am!")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN = b'event: token\ndata: {"text":"a"}\n\n'
DONE = b'event: done\ndata: {"usage":{"generated_tokens":2}}\n\n'


@asynccontextmanager
async def client_of(port: int, *, timeout_seconds: float = 60.0) -> AsyncIterator[LeanClient]:
    client = LeanClient("127.0.0.1", port, timeout_seconds=timeout_seconds)
    try:
        yield client
    finally:
        client.close()


@asynccontextmanager
async def saying(*pieces: bytes) -> AsyncIterator[LeanClient]:
    """The client of a server that sends `pieces` one by one to the first client and hangs up."""

    def answer(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, suppress(ConnectionError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.recv(1 << 16)
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.005)  # so that the client reads it by itself

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=answer, args=(listener,))
        thread.start()
        async with client_of(listener.getsockname()[1], timeout_seconds=5.0) as client:
            yield client
        thread.join()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


REQUEST = http_request(PATH, SENTENCE.body(stream=True))


async def test_plain_answers_and_streams_have_the_same_tokens(server: RunningServer):
    async with client_of(server.port) as client:
        for _ in range(2):  # the second time on the same connection
            plain = await client.ask(http_request(PATH, SENTENCE.body(stream=False)), stream=False)
            stream = await client.ask(REQUEST, stream=True)
            assert (plain.is_ok, stream.is_ok) == (True, True)
            assert len(stream.token_times) == stream.num_tokens == plain.num_tokens > 1
            assert stream.sent_at < stream.token_times[0] <= stream.token_times[-1] <= stream.ended_at


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_is_its_status(server: RunningServer, stream: bool):
    refused = http_request(PATH, request_body(["a"] * 9, "en", "de", stream=stream))
    async with client_of(server.port) as client:
        exchange = await client.ask(refused, stream=stream)
        assert (exchange.status, exchange.failure, exchange.is_ok, exchange.num_tokens) == (413, "", False, 0)
        assert (await client.ask(REQUEST, stream=True)).is_ok, "the connection is good for another"


async def test_loops_answer_every_request(server: RunningServer):
    requests = [http_request(PATH, SENTENCE.body(stream=True))] * 6
    async with client_of(server.port) as client:
        closed = await closed_loop(client, requests, num_clients=4, stream=True)
        opened = await open_loop(client, requests, [0.0, 0.01, 0.01, 0.02], stream=True)
    assert [answer.is_ok for answer in closed.answers] == [True] * 6
    assert [answer.is_ok for answer in opened.answers] == [True] * 4
    assert min(answer.late_seconds for answer in opened.answers) >= 0


async def test_an_event_counts_however_it_is_cut():
    stream = HEAD + chunk(b": \n\n" + TOKEN[:9]) + chunk(TOKEN[9:] + TOKEN + DONE) + b"0\r\n\r\n"
    async with saying(*(stream[start : start + 7] for start in range(0, len(stream), 7))) as client:
        exchange = await client.ask(REQUEST, stream=True)
    assert (exchange.is_ok, len(exchange.token_times), exchange.num_tokens) == (True, 2, 2)


@pytest.mark.parametrize(
    ("rest", "failure"),
    [
        (chunk(TOKEN), "the connection was cut off"),
        (chunk(TOKEN) + b"0\r\n\r\n", "a stream without done"),
        (chunk(TOKEN + b"event: error\ndata: {}\n\n") + b"0\r\n\r\n", "event: error"),
        (b"nonsense\r\n", "not HTTP: "),
    ],
)
async def test_a_stream_without_done_is_a_failure(rest: bytes, failure: str):
    async with saying(HEAD + rest) as client:
        load = await closed_loop(client, [REQUEST], num_clients=1, stream=True)
    (answer,) = load.answers
    assert answer.failure.startswith(failure)
    assert (answer.is_ok, answer.num_tokens) == (False, 0)


async def test_a_server_that_is_not_there_or_says_nothing_is_a_failure():
    async with client_of(free_port()) as client:
        exchange = await client.ask(REQUEST, stream=True)
        assert exchange.failure == "transport: ConnectionRefusedError"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with client_of(silent.getsockname()[1], timeout_seconds=0.05) as client:
            assert (await client.ask(REQUEST, stream=True)).failure == "no answer in time"


def test_the_sentences_of_a_file_are_used_again_where_there_are_too_few(tmp_path: Path):
    path = tmp_path / "sources.tsv"
    path.write_text("en\tde\tone\nde\ten\tzwei\n", encoding="utf-8")
    assert [each.text for each in repeated_source_lines(path, 3)] == ["one", "zwei", "one"]
