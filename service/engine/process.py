"""One worker process, as the service process holds it."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from service.engine.channel import frame, read_frame
from service.engine.types import FromWorker, ToWorker, WorkerSpec

KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""glibc would return each large buffer to the system, and the system clear its pages anew for the next: admitting 64
sources into a model of 6+6 layers took 168 ms so, and takes 116."""
EXIT_SECONDS = 1.0
"""How long a worker may take to end by itself once its channel is closed, before it is killed: it saves nothing."""


class WorkerStartError(Exception):
    """A worker process could not get ready; the message names the cause."""


class WorkerProcess:
    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def start(cls, spec: WorkerSpec) -> AsyncIterator["WorkerProcess"]:
        """Start `python -m service.engine.worker`; it has ended when the context is left."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                # -P: no module of the working directory may take the place of ours
                *(sys.executable, "-P", "-m", "service.engine.worker", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **KEEP_FREED_MEMORY},
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        writer.write(frame(msgspec.msgpack.encode(spec)))
        try:
            yield cls(process, reader, writer)
        finally:
            writer.close()  # and with it the worker ends
            try:
                async with asyncio.timeout(EXIT_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: ToWorker) -> None:
        """Never blocks. What is sent to a worker that has died is lost, and its end shows in `messages`."""
        self._writer.write(frame(msgspec.msgpack.encode(message)))

    def end(self) -> None:
        """Close the channel: the worker ends, and `messages` with it."""
        self._writer.close()

    async def messages(self) -> AsyncIterator[FromWorker]:
        """All that the worker says, until it ends."""
        decoder = msgspec.msgpack.Decoder(FromWorker)
        while (payload := await read_frame(self._reader)) is not None:
            yield decoder.decode(payload)
