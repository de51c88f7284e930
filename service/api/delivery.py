"""Delivers an answer to a client that may read slowly, or not at all.

uvicorn hands a whole body to the transport and considers it sent; the system then buffers megabytes of it whether the
client reads or not. Here:

1. A body is sent in pieces. Each piece waits until the client has taken most of the earlier pieces. So a connection
   holds little besides the answer itself: PIECE_BYTES, MAX_BUFFERED_BYTES and, in the system, MAX_UNSENT_BYTES.
2. `wait_delivered` returns when the system has taken the last byte, or when the connection is lost. The outcome of the
   request is not known earlier.

`service/api/connection.py` cuts off a client that takes nothing for long, and the system does so where only it still
has bytes for the client.
"""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

EXTENSION = "kakehashi.delivery"
"""The key of the Delivery in the ASGI scope's extensions."""
PIECE_BYTES = 64 << 10
MAX_BUFFERED_BYTES = 64 << 10
"""Bytes in the transport past which the next piece waits."""
MAX_UNSENT_BYTES = 16 << 10
"""Bytes that the system buffers beyond the client's window."""


class SendingConnection(Protocol):
    flow: FlowControl
    has_lost_bytes: bool
    """Whether the connection was lost before the client took everything that was sent."""


class Delivery:
    """ASGI around the app for the one request of `cycle`."""

    def __init__(self, app: ASGIApp, cycle: RequestResponseCycle, connection: SendingConnection) -> None:
        self._app = app
        self._cycle = cycle
        self._connection = connection
        self._turn = asyncio.Lock()
        """Held while a message is sent, so that a stream's comment does not come between two pieces of an event."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"][EXTENSION] = self

        async def send_in_pieces(message: Message) -> None:
            async with self._turn:
                body = message.get("body", b"")
                if len(body) > PIECE_BYTES:
                    *first, last = _pieces(body)
                    for piece in first:
                        await send({"type": "http.response.body", "body": piece, "more_body": True})
                    message = {**message, "body": last}
                await send(message)

        try:
            await self._app(scope, receive, send_in_pieces)
        finally:
            # The cycle has the scope. Reference cycles wait for the garbage collector, which stops the event loop.
            del scope["extensions"][EXTENSION]

    async def wait(self) -> bool:
        if not self._cycle.response_complete:
            return False
        connection, transport = self._connection, self._cycle.transport
        if not connection.has_lost_bytes and transport.get_write_buffer_size():
            transport.set_write_buffer_limits(high=0)  # a pause now lasts until nothing is left
            await connection.flow.drain()
            if not connection.has_lost_bytes:
                limit_buffer(transport)
        return not connection.has_lost_bytes


def limit_buffer(transport: asyncio.Transport) -> None:
    transport.set_write_buffer_limits(high=MAX_BUFFERED_BYTES)


def limit_unsent(transport: asyncio.Transport) -> None:
    """Let the system buffer no more than MAX_UNSENT_BYTES beyond the client's window."""
    with suppress(OSError):  # some sandboxes lack the option; then the system buffers some megabytes
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT_BYTES)


def limit_stall(transport: asyncio.Transport, *, seconds: float) -> None:
    """Let the system drop the connection once the client has taken nothing for so long, even after a close."""
    with suppress(OSError):
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))


def cut_off(transport: asyncio.Transport) -> None:
    """Reset the connection: a close would wait until the client has read everything that was sent."""
    with suppress(OSError):
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def wait_delivered(scope: Scope) -> bool:
    """Whether the client took the whole answer. A server other than ours does not know; it counts as taken."""
    delivery = scope.get("extensions", {}).get(EXTENSION)
    return await delivery.wait() if isinstance(delivery, Delivery) else True


def _pieces(body: bytes) -> list[memoryview]:
    view = memoryview(body)
    return [view[begin : begin + PIECE_BYTES] for begin in range(0, len(body), PIECE_BYTES)]
