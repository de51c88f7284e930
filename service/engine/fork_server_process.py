"""The fork server as seen by the service process: started with the first worker, and again after its death."""

import asyncio
import os
import socket
import sys
from dataclasses import dataclass

from service.engine.channel import FORK_REQUEST, ForkReply
from service.engine.entry_log import EntryLog

ALLOCATOR_OPTIONS = {
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
"""By default glibc returns large buffers to the system, which clears their pages again for the next one. Keeping them
makes admitting 64 sources into a model of 6+6 layers take 116 ms instead of 168.

Transparent huge pages, where the system grants them on request, make one sentence of such a model take 18 ms instead
of 23 on a busy machine. `huge_pages.py` ends that where it would only cost memory."""
EXIT_SECONDS = 1.0
"""The time that a process has to end after its connection is closed, before it is killed. It has nothing to save."""
MAX_SILENCE_SECONDS = 30.0
"""The longest time between two heartbeats or replies of a fork server, before it is killed and replaced."""


class WorkerStartError(Exception):
    """A worker process could not become ready; the message names the cause."""


class LoadFailedError(WorkerStartError):
    """A checkpoint cannot be loaded, now or at another attempt."""


@dataclass(frozen=True, slots=True)
class Forked:
    """A new worker process. Its owner closes the `pidfd`."""

    pid: int
    pidfd: int


class ForkServerProcess:
    def __init__(self, *, max_silence_seconds: float = MAX_SILENCE_SECONDS) -> None:
        self._max_silence_seconds = max_silence_seconds
        self._lock = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def has_died(self) -> bool:
        """Whether it has ended by itself, since nobody needs it while all workers run."""
        return self._process is not None and self._process.returncode is not None

    async def fork(self, channel: socket.socket, entry_log: EntryLog) -> Forked | None:
        """Fork a worker that serves `channel` and writes `entry_log`. Returns None if the channel has closed meanwhile.

        Raises WorkerStartError if the fork server ends or does not answer.
        """
        async with self._lock:
            if self.has_died:
                await self._close()
            control = self._control or await self._start()
            try:
                return await self._request(control, [channel.fileno(), entry_log.fileno()])
            except TimeoutError:
                await self._kill()
                raise WorkerStartError(
                    f"the fork server did not answer for {self._max_silence_seconds:g} s and was killed"
                ) from None
            except (OSError, EOFError):
                await self._close()
                raise WorkerStartError("the fork server has ended") from None
            except asyncio.CancelledError:
                await self._close()  # otherwise the next request would read this one's reply
                raise

    async def aclose(self) -> None:
        await self._close()

    async def _request(self, control: socket.socket, descriptors_for_worker: list[int]) -> Forked | None:
        socket.send_fds(control, [FORK_REQUEST], descriptors_for_worker)
        while True:
            async with asyncio.timeout(self._max_silence_seconds):
                reply, descriptors = await _receive(control)
            if reply.pid is None:
                continue
            return Forked(reply.pid, descriptors[0]) if reply.pid else None

    async def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        await self._close()

    async def _close(self) -> None:
        if self._control is not None:
            self._control.close()  # ends the fork server
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
                # -P: modules in the working directory must not shadow ours
                *(sys.executable, "-P", "-m", "service.engine.fork_server", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **ALLOCATOR_OPTIONS},
            )
        ours.setblocking(False)
        self._control = ours
        return ours


async def _receive(control: socket.socket) -> tuple[ForkReply, list[int]]:
    """The next reply, and the pidfd that may come with it. Raises EOFError when the fork server has ended."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(control, readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            try:
                # Replies are a few bytes in one write, so they arrive whole.
                data, descriptors, _, _ = socket.recv_fds(control, ForkReply.SIZE, 1)
            except BlockingIOError:
                continue
            if not data:
                raise EOFError
            return ForkReply.unpack(data), descriptors
    finally:
        loop.remove_reader(control)
