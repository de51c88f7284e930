"""An ASGI app on a real uvicorn, in a thread and on a loopback port, with clients on plain sockets."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import uvicorn
from starlette.types import ASGIApp

from service.api.connection import Connection
from service.api.connections import ConnectionLimits, Connections

LIMIT_SECONDS = 20.0
"""Far longer than any step takes; only keeps a failing test from hanging."""
KEEP_ALIVE_SECONDS = 75
LoopName = Literal["asyncio", "uvloop"]


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()


@dataclass(frozen=True, slots=True)
class HttpServer:
    port: int
    operation_port: int | None = None

    def connect(self, *data: bytes, receive_buffer: int | None = None, port: int | None = None) -> socket.socket:
        """Open a connection and send `data` piece by piece, without reading."""
        connection = socket.socket()
        connection.settimeout(LIMIT_SECONDS)
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            connection.connect(("127.0.0.1", port or self.port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in data:
                connection.sendall(piece)
        except OSError:
            connection.close()
            raise
        return connection


@contextmanager
def serving(
    app: ASGIApp, *, loop: LoopName = "uvloop", limits: ConnectionLimits | None = None, port: int = 0
) -> Iterator[HttpServer]:
    """Serve `app` on `port`, or on a free port if it is 0, and on a second one that counts its connections apart."""
    limits = limits or ConnectionLimits()
    with (
        socket.create_server(("127.0.0.1", port)) as listener,
        socket.create_server(("127.0.0.1", 0)) as operation_listener,
    ):
        operation_port = operation_listener.getsockname()[1]
        connection: Any = partial(
            Connection, connections=Connections(limits), connections_at={operation_port: Connections(limits)}
        )
        config = uvicorn.Config(
            app,
            loop=loop,
            http=connection,
            ws="none",
            log_config=None,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        thread = threading.Thread(target=server.run, args=([listener, operation_listener],))
        thread.start()
        try:
            assert server.is_up.wait(LIMIT_SECONDS)
            yield HttpServer(listener.getsockname()[1], operation_port)
        finally:
            server.should_exit = True
            thread.join()


def read_all(connection: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    pieces = []
    while piece := connection.recv(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def read_exactly(connection: socket.socket, num_bytes: int) -> bytes:
    """Read `num_bytes`, or fewer if the server closes the connection."""
    received = b""
    while len(received) < num_bytes and (piece := connection.recv(num_bytes - len(received))):
        received += piece
    return received


class Work:
    """The work of a test route, which lasts until it is released or cancelled; controlled from the test's thread."""

    def __init__(self) -> None:
        self.has_started = threading.Event()
        self.was_cancelled = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._released: asyncio.Event | None = None

    async def run(self) -> None:
        self._loop, self._released = asyncio.get_running_loop(), asyncio.Event()
        self.has_started.set()
        try:
            await self._released.wait()
        except asyncio.CancelledError:
            self.was_cancelled.set()
            raise

    def wait_started(self) -> None:
        assert self.has_started.wait(LIMIT_SECONDS)

    def release(self) -> None:
        self.wait_started()
        assert self._loop is not None
        assert self._released is not None
        self._loop.call_soon_threadsafe(self._released.set)
