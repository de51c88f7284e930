"""An HTTP/1.1 client with little overhead, because it shares its cores with the server that it measures.

httpx and httpx-sse took 200 to 380 µs of CPU time a token with 64 streams, when the service process took about 100, so
the table showed the client. This takes 20 to 27. httptools, uvicorn's parser of requests, parses the answers, and the
clock is read once for each read from the socket. The client only supports what this server sends: events that start
with their name, and bodies with a known end.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

import httptools

from loadtests.bench.http_requests import encode_request
from loadtests.locust.event_stream import COMMENT, DATA, DONE, ERROR, EVENT_END, TOKEN

NO_ANSWER = "no answer in time"
MAX_IDLE_SECONDS = 2.0
"""Connections idle for longer are dropped, because the server (uvicorn after 5 s) may be closing them."""


@dataclass(slots=True)
class Exchange:
    """One request and its answer. `failure` is the reason of a failure, or ""."""

    sent_at: float
    status: int = 0
    body: bytearray = field(default_factory=bytearray)
    """For a stream, only the data after its last whole event."""
    token_times: list[float] = field(default_factory=list)
    last_event: bytes = b""
    ended_at: float = 0.0
    failure: str = ""
    retry_after_seconds: int | None = None

    @property
    def is_ok(self) -> bool:
        return self.status == 200 and not self.failure

    def how_it_ended(self, *, stream: bool) -> str:
        """The failure of an answer that the server has ended, or ""."""
        if not stream or self.status != 200 or self.last_event.startswith(DONE):
            return ""
        return "event: error" if self.last_event.startswith(ERROR) else "a stream without done"

    @property
    def num_tokens(self) -> int:
        """The server's count; 0 if the answer is incomplete."""
        return self.usage()["generated_tokens"] if self.is_ok else 0

    def usage(self) -> dict[str, int]:
        """The `usage` of a complete answer."""
        usage: dict[str, int] = json.loads(self.last_event.removeprefix(DONE).removeprefix(DATA) or self.body)["usage"]
        return usage


class Connection(asyncio.Protocol):
    """One connection with at most one request in flight."""

    def __init__(self) -> None:
        self.is_open = False
        self.idle_since = 0.0
        self._exchange: Exchange | None = None
        self._is_stream = False
        self._over: asyncio.Future[None] | None = None

    async def exchange(self, request: bytes, *, stream: bool, timeout_seconds: float) -> Exchange:
        """Send a whole request and wait for the end of its answer or its failure. Cancelling it hangs up."""
        loop = asyncio.get_running_loop()
        self._is_stream = stream
        self._exchange = exchange = Exchange(time.perf_counter())
        self._over = loop.create_future()
        timer = loop.call_later(timeout_seconds, self._give_up)  # cheaper than asyncio.timeout
        try:
            self._transport.write(request)
            await self._over
        except asyncio.CancelledError:
            self.close()
            raise
        finally:
            timer.cancel()
        return exchange

    def close(self) -> None:
        self.is_open = False
        self._transport.close()

    # Called by asyncio.

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport
        self._parser = httptools.HttpResponseParser(self)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        self._now = time.perf_counter()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(f"not HTTP: {error}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False
        self._now = time.perf_counter()
        self._end("the connection was cut off" if exc is None else f"transport: {type(exc).__name__}")

    # Called by httptools.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._exchange is not None and name.lower() == b"retry-after":
            self._exchange.retry_after_seconds = int(value)

    def on_headers_complete(self) -> None:
        if self._exchange is not None:
            self._exchange.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        exchange.body += body
        if self._is_stream and exchange.status == 200:
            self._take_events(exchange)

    def on_message_complete(self) -> None:
        if self._exchange is not None:
            self._end(self._exchange.how_it_ended(stream=self._is_stream))
        if not self._parser.should_keep_alive():
            self.close()

    def _give_up(self) -> None:
        self._now = time.perf_counter()
        self._end(NO_ANSWER)
        self.close()

    def _take_events(self, exchange: Exchange) -> None:
        *events, rest = exchange.body.split(EVENT_END)
        exchange.body = rest
        for event in events:
            if event.startswith(TOKEN):
                exchange.token_times.append(self._now)
            if not event.startswith(COMMENT):
                exchange.last_event = bytes(event)

    def _end(self, failure: str) -> None:
        if self._exchange is None or self._over is None or self._over.done():
            return
        self._exchange.failure = failure
        self._exchange.ended_at = self.idle_since = self._now
        self._exchange = None
        self._over.set_result(None)


def http_request(path: str, body: dict[str, object], *, no_store: bool = False, api_key: str = "") -> bytes:
    """`no_store`: bypass the server's cache."""
    headers = {"Cache-Control": "no-store"} if no_store else {}
    if api_key:
        headers["Authorization"] = f"Bearer {api_key}"
    return b"".join(encode_request("POST", path, body, headers=headers))


class LeanClient:
    """Connections to one server, opened on demand and kept alive."""

    def __init__(self, host: str, port: int, *, timeout_seconds: float) -> None:
        self._host = host
        self._port = port
        self._timeout_seconds = timeout_seconds
        self._idle: list[Connection] = []

    async def ask(self, request: bytes, *, stream: bool) -> Exchange:
        """Send a request. Never raises for a failure of the server: that is a result."""
        began = time.perf_counter()
        try:
            connection = self._take_idle() or await self._connect()
        except TimeoutError:
            return Exchange(began, ended_at=time.perf_counter(), failure=NO_ANSWER)
        except OSError as error:
            return Exchange(began, ended_at=time.perf_counter(), failure=f"transport: {type(error).__name__}")
        exchange = await connection.exchange(request, stream=stream, timeout_seconds=self._timeout_seconds)
        if connection.is_open:
            self._idle.append(connection)
        return exchange

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and time.perf_counter() - connection.idle_since < MAX_IDLE_SECONDS:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._timeout_seconds):
            _, connection = await loop.create_connection(Connection, self._host, self._port)
        return connection
