"""One worker process and its channel, as seen by the service process."""

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
"""The channel's high-water mark: a worker with more unread bytes gets no more work until it has read them."""


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
        """Start a worker and send it `spec`. It ends when the context is left. Raises WorkerStartError."""
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
                writer.close()  # ends the worker
                if forked is not None:
                    await _wait_until_ended(forked.pidfd)

    @property
    def is_behind(self) -> bool:
        """Whether it has more than MAX_UNREAD_BYTES unread bytes."""
        return self._writer.transport.get_write_buffer_size() > MAX_UNREAD_BYTES

    def send(self, message: bytes) -> None:
        """Never blocks. Messages to a dead worker are lost; `messages` ends then."""
        if not self._writer.is_closing():  # otherwise uvloop raises, in the moment before the end is noticed
            self._writer.write(frame(message))

    def last_entries(self) -> list[int]:
        """The decodes that last got rows, or were about to. Works after the worker's death."""
        return self._entry_log.read()

    def resident_bytes(self) -> int:
        """Resident memory of the process, including shared pages; 0 if it has just ended.

        The proportional share would be better, but the system walks all pages for it, which takes milliseconds.
        """
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_bytes().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * resource.getpagesize()

    def kill(self) -> None:
        """Kill it at once, even if it hangs or is stopped; `messages` ends then."""
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
