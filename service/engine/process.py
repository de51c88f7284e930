"""Worker processes and the nursery that they are forked from, as the service process holds them."""

import asyncio
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from service.engine.channel import FORK_REPLY, FORK_REQUEST, READ_BYTES, frame, read_payloads
from service.engine.types import FromWorker, ToWorker, WorkerSpec

KEEP_FREED_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""glibc would return each large buffer to the system, and the system clear its pages anew for the next: admitting 64
sources into a model of 6+6 layers took 168 ms so, and takes 116."""
EXIT_SECONDS = 1.0
"""How long a worker may take to end by itself once its channel is closed, before it is killed: it saves nothing."""


class WorkerStartError(Exception):
    """A worker process could not get ready; the message names the cause."""


class NurseryProcess:
    """Started when the first worker is asked for, and again when it has died."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None

    async def fork(self, channel: socket.socket) -> int:
        """The process id of a new worker that serves `channel`. Raises WorkerStartError when the nursery dies."""
        async with self._lock:
            control = self._control or await self._start()
            try:
                socket.send_fds(control, [FORK_REQUEST], [channel.fileno()])
                reply = await asyncio.get_running_loop().sock_recv(control, FORK_REPLY.size)
            except OSError:
                reply = b""
            except asyncio.CancelledError:
                await self.aclose()  # a reply that nobody read would be taken for the next one's
                raise
            if len(reply) < FORK_REPLY.size:
                await self.aclose()
                raise WorkerStartError("the process that starts the workers has ended")
            (pid,) = FORK_REPLY.unpack(reply)
            return int(pid)

    async def aclose(self) -> None:
        if self._control is not None:
            self._control.close()  # and with it the nursery ends
            self._control = None
        if self._process is not None:
            process, self._process = self._process, None
            try:
                async with asyncio.timeout(EXIT_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                # -P: no module of the working directory may take the place of ours
                *(sys.executable, "-P", "-m", "service.engine.fork_server", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **KEEP_FREED_MEMORY},
            )
        ours.setblocking(False)
        self._control = ours
        return ours


class WorkerProcess:
    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def start(cls, spec: WorkerSpec, nursery: NurseryProcess) -> AsyncIterator["WorkerProcess"]:
        """A worker that has been sent `spec`; it has ended when the context is left. Raises WorkerStartError."""
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours, limit=READ_BYTES)
        writer.write(frame(msgspec.msgpack.encode(spec)))
        pid = 0
        try:
            with theirs:
                pid = await nursery.fork(theirs)
            yield cls(pid, reader, writer)
        finally:
            writer.close()  # and with it the worker ends
            if pid:
                await _ended(pid)

    def send(self, message: ToWorker) -> None:
        """Never blocks. What is sent to a worker that has died is lost, and its end shows in `messages`."""
        if not self._writer.is_closing():  # else uvloop raises, in the moment before the end is noticed
            self._writer.write(frame(msgspec.msgpack.encode(message)))

    def resident_bytes(self) -> int:
        """Memory of the process, with what it shares with others; 0 where it has just ended.

        Not its proportional part: for that the system goes through all of its pages, which takes milliseconds.
        """
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_bytes().split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * resource.getpagesize()

    def end(self) -> None:
        """Close the channel: the worker ends, and `messages` with it."""
        self._writer.close()

    async def messages(self) -> AsyncIterator[FromWorker]:
        """All that the worker says, until it ends."""
        decoder = msgspec.msgpack.Decoder(FromWorker)
        async for payload in read_payloads(self._reader):
            yield decoder.decode(payload)


async def _ended(pid: int) -> None:
    """Wait until the process has ended, and end it where it takes too long. It is not a child of this process."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        async with asyncio.timeout(EXIT_SECONDS):
            await ended.wait()
    except TimeoutError:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
