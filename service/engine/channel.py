"""Length-prefixed messages over a socket pair, the only connection between the service process and a worker.

A socket pair, unlike a message broker, shows when the other process dies: reading ends on both sides, however it died,
after everything that it sent has been read. So no worker outlives its service process, and no death goes unnoticed.
"""

import select
import socket
from asyncio import StreamReader
from collections.abc import AsyncIterator
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar

HEADER = Struct(">I")
READ_BYTES = 1 << 20
"""Bytes to read at a time; encoder outputs are large."""
FORK_REQUEST = b"w"
"""The service's request to the fork server, sent with the worker's end of a channel and its entry log."""


@dataclass(frozen=True, slots=True)
class ForkReply:
    """The fork server's reply: heartbeats (None), then the process id of the worker; 0 if nobody waits for it."""

    SIZE: ClassVar[int] = 4
    _STRUCT: ClassVar[Struct] = Struct(">i")
    _HEARTBEAT: ClassVar[int] = -1

    pid: int | None

    @classmethod
    def heartbeat(cls) -> bytes:
        return cls._STRUCT.pack(cls._HEARTBEAT)

    @classmethod
    def forked(cls, pid: int) -> bytes:
        return cls._STRUCT.pack(pid)

    @classmethod
    def nobody(cls) -> bytes:
        return cls._STRUCT.pack(0)

    @classmethod
    def unpack(cls, reply: bytes) -> "ForkReply":
        (pid,) = cls._STRUCT.unpack(reply)
        return cls(None if pid == cls._HEARTBEAT else pid)


def frame(payload: bytes) -> bytes:
    return HEADER.pack(len(payload)) + payload


class FrameCutter:
    """Cuts the bytes that arrive into payloads, and keeps the start of the next one."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def cut(self, data: bytes | memoryview) -> list[bytes]:
        """The payloads that `data` completes."""
        self._buffer += data
        payloads = []
        start = 0
        while len(self._buffer) - start >= HEADER.size:
            (size,) = HEADER.unpack_from(self._buffer, start)
            stop = start + HEADER.size + size
            if len(self._buffer) < stop:
                break
            with memoryview(self._buffer) as view:
                payloads.append(bytes(view[start + HEADER.size : stop]))
            start = stop
        del self._buffer[:start]
        return payloads


async def read_payloads(reader: StreamReader) -> AsyncIterator[bytes]:
    """All payloads until the other end is gone."""
    cutter = FrameCutter()
    try:
        while data := await reader.read(READ_BYTES):
            for payload in cutter.cut(data):
                yield payload
    except ConnectionError:
        return


class Channel:
    """The worker's end of the channel."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._cutter = FrameCutter()
        # A new one for each message would touch another part of the heap each time, until all of it is resident.
        self._received = memoryview(bytearray(READ_BYTES))

    def send(self, payload: bytes) -> None:
        """Raises OSError when the other end is gone."""
        self._connection.sendall(frame(payload))

    def receive(self, *, block: bool) -> list[bytes]:
        """All payloads that have arrived; with `block`, at least one. Raises EOFError when the other end is gone."""
        payloads: list[bytes] = []
        while select.select([self._connection], [], [], None if block and not payloads else 0)[0]:
            num_bytes = self._connection.recv_into(self._received)
            if not num_bytes:
                raise EOFError
            payloads += self._cutter.cut(self._received[:num_bytes])
        return payloads
