"""One connection to the server, with what HTTP libraries do not allow: pauses, half-closes and resets anywhere."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from loadtests.bench.loopback import HOST
from loadtests.reliability.http_replies import Replies, Reply

READ_BYTES = 64 << 10


class Wire:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._received = Replies()

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator["Wire"]:
        """Connect. Leaving the context closes the connection."""
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    @property
    def replies(self) -> list[Reply]:
        return self._received.replies

    async def send(self, *pieces: bytes, pause_seconds: float = 0.0) -> None:
        """Send each piece, and pause after each but the last. Raises ConnectionError."""
        for index, piece in enumerate(pieces):
            if index:
                await asyncio.sleep(pause_seconds)
            self._writer.write(piece)
            await self._writer.drain()

    def half_close(self) -> None:
        """End the client's direction only."""
        with suppress(OSError):
            self._writer.write_eof()

    def reset(self) -> None:
        """End the connection with a reset, which drops everything that is still on its way."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def read(self, num_bytes: int = READ_BYTES) -> bool:
        """Read once. Returns False at the end. Raises ConnectionError, and HttpParserError for anything but HTTP."""
        data = await self._reader.read(num_bytes)
        self._received.feed(data)
        return bool(data)

    async def read_reply(self) -> Reply:
        """The first whole answer. Raises ConnectionError if the connection ends before."""
        while not (self.replies and self.replies[0].is_whole):
            if not await self.read():
                raise ConnectionError("the server closed the connection before the end of its answer")
        return self.replies[0]
