"""One worker process and the channel to it, as the service process holds them."""

import asyncio
import os
import resource
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import msgspec

from service.engine.channel import READ_BYTES, frame, read_payloads
from service.engine.entry_log import EntryLog
from service.engine.fork_server_process import EXIT_SECONDS, Forked, ForkServerProcess, WorkerStartError
from service.engine.types import FromWorker, WorkerSpec

MAX_UNREAD_BYTES = 8 << 20
"""The channel's high-water mark: a worker that has not read so much gets no more work until it has."""


class WorkerProcess:
    def __init__(
        self, forked: Forked, entry_log: EntryLog, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.pid = forked.pid
        self._entry_log = entry_log
        self._pidfd = forked.pidfd
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def start(cls, spec: WorkerSpec, fork_server: ForkServerProcess) -> AsyncIterator["WorkerProcess"]:
        """A worker that has been sent `spec`; it has ended when the context is left. Raises WorkerStartError."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours, limit=READ_BYTES)
        writer.write(frame(msgspec.msgpack.encode(spec)))
        forked: Forked | None = None
        with closing(EntryLog.create()) as entry_log:
            try:
                with theirs:
                    forked = await fork_server.fork(theirs, entry_log)
                if forked is None:
                    raise WorkerStartError("the channel closed before the worker was started")
                yield cls(forked, entry_log, reader, writer)
            finally:
                writer.close()  # and with it the worker ends
                if forked is not None:
                    await _wait_until_ended(forked.pidfd)

    @property
    def is_behind(self) -> bool:
        """Whether it has left more than MAX_UNREAD_BYTES unread."""
        return self._writer.transport.get_write_buffer_size() > MAX_UNREAD_BYTES

    def send(self, message: bytes) -> None:
        """Never blocks. What is sent to a worker that has died is lost, and its end shows in `messages`."""
        if not self._writer.is_closing():  # else uvloop raises, in the moment before the end is noticed
            self._writer.write(frame(message))

    def last_entries(self) -> list[int]:
        """The decodes that last got rows, or were about to, also if the worker has died."""
        return self._entry_log.read()

    def resident_bytes(self) -> int:
        """Memory of the process, with what it shares with others; 0 where it has just ended.

        Not its proportional part: for that the system goes through all of its pages, which takes milliseconds.
        """
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_bytes().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * resource.getpagesize()

    def kill(self) -> None:
        """At once, also if it hangs or is stopped; `messages` ends then."""
        try:
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        except ProcessLookupError:
            return

    async def messages(self) -> AsyncIterator[FromWorker]:
        """Everything the worker sends, until it ends."""
        decoder = msgspec.msgpack.Decoder(FromWorker)
        async for payload in read_payloads(self._reader):
            yield decoder.decode(payload)


async def _wait_until_ended(pidfd: int) -> None:
    """Kill the process if it takes too long, and close `pidfd`. The process is not a child of this one."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        async with asyncio.timeout(EXIT_SECONDS):
            await ended.wait()
    except TimeoutError:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
