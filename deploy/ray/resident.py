"""The app with one checkpoint, in the process of a replica, with its own worker processes."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractContextManager, AsyncExitStack

from starlette.types import Message

from deploy.ray.exchange import AppRequest, call
from model.checkpoint.config import CheckpointError
from service.app import Service, build_service
from service.engine.fork_server_process import WorkerStartError
from service.lifecycle import Lifecycle
from service.settings import Settings


class Resident:
    """`aclose` waits until no request uses it; every request has a deadline."""

    def __init__(self, service: Service, lifespan: AsyncExitStack, *, timeout_seconds: float) -> None:
        """`aclose` closes `lifespan`."""
        self._app = service.app
        self._lifespan = lifespan
        self._timeout_seconds = timeout_seconds
        self._lifecycle = Lifecycle()
        self._closing: asyncio.Task[None] | None = None
        # Serve awaits the `__del__` of an object that it evicts. On the class, Python would call it too, unawaited.
        self.__del__ = self.aclose

    @classmethod
    async def start(cls, settings: Settings) -> "Resident":
        """Load the checkpoint of `settings`, and return when it is ready. Raises CheckpointError."""
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def fail(error: WorkerStartError) -> None:
            if not failed.done():
                failed.set_exception(CheckpointError(str(error)))

        # In a thread, because downloads and tokenizers must not delay the streams of this replica.
        service = await asyncio.to_thread(build_service, settings, on_fatal=fail)
        async with AsyncExitStack() as lifespan:
            await lifespan.enter_async_context(service.app.router.lifespan_context(service.app))
            ready = asyncio.ensure_future(service.engine.wait_ready())
            try:
                await asyncio.wait({ready, failed}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                ready.cancel()
            if failed.done():
                failed.result()
            return cls(service, lifespan.pop_all(), timeout_seconds=settings.timeout_seconds)

    def in_use(self) -> AbstractContextManager[None]:
        """A context for a request, in which the checkpoint is not closed."""
        return self._lifecycle.request()

    def answer(self, request: AppRequest) -> AsyncGenerator[list[Message], None]:
        return call(self._app, request)

    async def metrics(self) -> str:
        with self.in_use():
            batches = [batch async for batch in self.answer(AppRequest("GET", "/metrics"))]
        return b"".join(message.get("body", b"") for batch in batches for message in batch).decode()

    @property
    def is_closing(self) -> bool:
        return self._closing is not None

    async def aclose(self) -> None:
        """Close, even if the request that needs the room is cancelled meanwhile."""
        self._closing = self._closing or asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        await self._lifecycle.wait_idle(self._timeout_seconds)
        await self._lifespan.aclose()
