"""One worker, kept running: start it, serve, watch it; when it dies, inform the owner and start it again.

The pause before a restart doubles while deaths follow each other closely, and is reset after a long life.
"""

import asyncio
import logging
from typing import Protocol

from service.engine.fork_server_process import ForkServerProcess, LoadFailedError, WorkerStartError
from service.engine.types import CheckpointInfo, FromWorker, Loaded, LoadFailed, StepReport, WorkerSpec
from service.engine.watchdog import Watchdog
from service.engine.worker_process import WorkerProcess

logger = logging.getLogger(__name__)

MAX_RESTART_PAUSE_SECONDS = 30.0
LONG_LIFE_SECONDS = 60.0
WATCHES_PER_LIMIT = 40
"""The checks of the watchdog within its limit."""


class WorkerOwner(Protocol):
    def on_ready(self, worker: "WorkerHandle") -> None: ...
    def on_report(self, worker: "WorkerHandle", report: StepReport) -> None: ...
    def on_lost(self, worker: "WorkerHandle", last_entries: list[int]) -> None:
        """The process died with all its work. `last_entries` are the decodes that last got rows, or were about to."""

    def on_restart(self, worker: "WorkerHandle") -> None: ...
    def on_start_failed(self, worker: "WorkerHandle", error: WorkerStartError) -> bool:
        """The worker ended before it was ready. Returns whether to try again."""


class WorkerHandle:
    """`num_decodes` and `cost`, kept by `Dispatcher`, cover the decodes that it was sent and that have not ended."""

    def __init__(
        self,
        name: str,
        spec: WorkerSpec,
        owner: WorkerOwner,
        fork_server: ForkServerProcess,
        *,
        max_silence_seconds: float,
        max_load_seconds: float,
    ) -> None:
        self.name = name
        self.checkpoints: list[CheckpointInfo] = []
        self.num_decodes = 0
        self.cost = 0
        self._spec = spec
        self._owner = owner
        self._fork_server = fork_server
        self._max_silence_seconds = max_silence_seconds
        self._max_load_seconds = max_load_seconds
        self._load_limit = asyncio.Timeout(None)
        self._process: WorkerProcess | None = None
        self._watchdog = Watchdog(limit_seconds=max_silence_seconds)
        self._has_loaded = False

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it has loaded and responds."""
        return self._has_loaded and not self._watchdog.is_in_doubt(now=asyncio.get_running_loop().time())

    @property
    def takes_work(self) -> bool:
        """Whether it is ready and keeps up with its messages."""
        return self.is_ready and self._process is not None and not self._process.is_behind

    def resident_bytes(self) -> int:
        """Memory of its process; 0 while it is gone."""
        return 0 if self._process is None else self._process.resident_bytes()

    def send(self, message: bytes) -> None:
        """Send a message. If the worker is gone it is dropped, and `on_lost` recovers its work."""
        if self._process is not None:
            self._process.send(message)
            self._watchdog.work_sent(now=asyncio.get_running_loop().time())

    async def supervise(self) -> None:
        """Keep the worker running until cancelled, or until the owner stops the attempts."""
        loop = asyncio.get_running_loop()
        pause_seconds = 0.0
        while True:
            began = loop.time()
            try:
                await self._run()
            except WorkerStartError as error:
                if not self._owner.on_start_failed(self, error):
                    return
            except Exception:  # supervision goes on after any failure of a process
                logger.exception("worker %s: its connection failed", self.name)
            if loop.time() - began > LONG_LIFE_SECONDS:
                pause_seconds = 0.0
            self._owner.on_restart(self)
            logger.warning("worker %s ended; starting it again in %g s", self.name, pause_seconds)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds + 1, MAX_RESTART_PAUSE_SECONDS)

    async def _run(self) -> None:
        """The life of one process. Raises WorkerStartError if it is not ready in time or ends before."""
        try:
            async with asyncio.timeout(self._max_load_seconds) as self._load_limit:
                await self._live()
        except TimeoutError:
            if not self._load_limit.expired():
                raise
            raise LoadFailedError(f"the worker was not ready within {self._max_load_seconds:g} s") from None

    async def _live(self) -> None:
        async with WorkerProcess.start(self._spec, self._fork_server) as process:
            self._process = process
            self._watchdog = Watchdog(limit_seconds=self._max_silence_seconds)
            watch = asyncio.create_task(self._watch(process))
            try:
                async for message in process.messages():
                    self._handle(message)
                if not self._has_loaded:
                    raise WorkerStartError("the worker process ended before it was ready")
            finally:
                watch.cancel()
                self._has_loaded, self._process = False, None
                self._owner.on_lost(self, process.last_entries())

    async def _watch(self, process: WorkerProcess) -> None:
        """Kill the worker if it has work and is silent for too long."""
        loop = asyncio.get_running_loop()
        while True:
            pause_seconds = self._watchdog.limit_seconds / WATCHES_PER_LIMIT
            due = loop.time() + pause_seconds
            await asyncio.sleep(pause_seconds)
            self._watchdog.excuse(loop.time() - due)
            if self._watchdog.is_given_up(now=loop.time()):
                logger.error(
                    "worker %s has work but has not reported for %.1f s: killing it",
                    self.name,
                    self._watchdog.limit_seconds,
                )
                process.kill()
                return

    def _handle(self, message: FromWorker) -> None:
        now = asyncio.get_running_loop().time()
        match message:
            case Loaded(checkpoints, longest_turn_seconds):
                self.checkpoints = checkpoints
                self._watchdog.expect(longest_turn_seconds=longest_turn_seconds)
                self._has_loaded = True
                self._load_limit.reschedule(None)
                self._owner.on_ready(self)
            case LoadFailed(detail):
                raise LoadFailedError(detail)
            case StepReport():
                self._owner.on_report(self, message)
                self._watchdog.report(now=now, has_work=self.num_decodes > 0)
