"""One worker, kept running: start, load, warm up, serve; when it dies, tell the owner and start it again.

A pause before each restart doubles while deaths follow each other closely, and is forgotten after a long life.
"""

import asyncio
import logging
from typing import Protocol

from service.engine.process import NurseryProcess, WorkerProcess, WorkerStartError
from service.engine.types import CheckpointInfo, FromWorker, Loaded, LoadFailed, StepReport, ToWorker, WorkerSpec

logger = logging.getLogger(__name__)

MAX_RESTART_PAUSE_SECONDS = 30.0
LONG_LIFE_SECONDS = 60.0


class WorkerOwner(Protocol):
    async def warm_up(self, worker: "Worker") -> bool:
        """Decode a sequence with each checkpoint of `worker`, which is not ready yet; whether it worked."""

    def on_ready(self, worker: "Worker") -> None: ...
    def on_report(self, worker: "Worker", report: StepReport) -> None: ...
    def on_lost(self, worker: "Worker") -> None:
        """The process is gone, and with it all work it held."""

    def on_restart(self, worker: "Worker") -> None: ...
    def on_start_failed(self, worker: "Worker", detail: str) -> bool:
        """The worker ended before it was ready; whether to try again."""


class Worker:
    def __init__(self, name: str, spec: WorkerSpec, owner: WorkerOwner, nursery: NurseryProcess) -> None:
        self.name = name
        self.checkpoints: list[CheckpointInfo] = []
        self.is_ready = False
        self._spec = spec
        self._owner = owner
        self._nursery = nursery
        self._process: WorkerProcess | None = None
        self._warming: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def resident_bytes(self) -> int:
        """What its process occupies; 0 while it is gone."""
        return 0 if self._process is None else self._process.resident_bytes()

    def send(self, message: ToWorker) -> None:
        """A message to a worker that is gone is dropped: its owner is told of all it held by `on_lost`."""
        if self._process is not None:
            self._process.send(message)

    async def supervise(self) -> None:
        """Keep the worker running until cancelled, or until the owner says to stop trying."""
        loop = asyncio.get_running_loop()
        pause_seconds = 0.0
        while True:
            began = loop.time()
            try:
                await self._run()
            except WorkerStartError as error:
                if not self._owner.on_start_failed(self, str(error)):
                    return
            except Exception:  # the supervisor outlives whatever becomes of one process
                logger.exception("worker %s: its connection failed", self.name)
            if loop.time() - began > LONG_LIFE_SECONDS:
                pause_seconds = 0.0
            self._owner.on_restart(self)
            logger.warning("worker %s ended; starting it again in %g s", self.name, pause_seconds)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds + 1, MAX_RESTART_PAUSE_SECONDS)

    async def _run(self) -> None:
        """The life of one process. Raises WorkerStartError when it ends before it was ready."""
        async with WorkerProcess.start(self._spec, self._nursery) as process:
            self._process = process
            try:
                async for message in process.messages():
                    self._handle(message)
                if not self.is_ready:
                    raise WorkerStartError("the worker process ended before it was ready")
            finally:
                if self._warming is not None:
                    self._warming.cancel()
                self.is_ready, self._process, self._warming = False, None, None
                self._owner.on_lost(self)

    def _handle(self, message: FromWorker) -> None:
        match message:
            case Loaded(checkpoints):
                self.checkpoints = checkpoints
                self._warming = asyncio.create_task(self._warm_up())
            case LoadFailed(detail):
                raise WorkerStartError(detail)
            case StepReport():
                self._owner.on_report(self, message)

    async def _warm_up(self) -> None:
        try:
            worked = await self._owner.warm_up(self)
        except Exception:  # nobody awaits this task
            logger.exception("worker %s: the warm-up failed", self.name)
            worked = False
        if worked:
            self.is_ready = True
            self._owner.on_ready(self)
        elif self._process is not None:
            self._process.end()
