"""uvicorn with our own shutdown: on SIGTERM the server drains, and answers new requests with 503."""

import asyncio
import gc
import logging
import socket
import time
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any

import uvicorn

from service.api.connection import Connection
from service.api.connections import MAX_OPERATION_CONNECTIONS, Connections
from service.api.delivery import cut_off
from service.app import build_service
from service.descriptors import DescriptorWatch, fit_connections
from service.engine.fork_server_process import LoadFailedError, WorkerStartError
from service.observability.log_writer import LogWriter
from service.settings import Settings

logger = logging.getLogger(__name__)

EXIT_SECONDS = 4.0
"""The part of the grace period reserved for ending the workers, sending the last errors and closing."""
CLOSING_SECONDS = 1.0
"""The time for clients to take what they were sent before their connections are cut off."""
LAST_WORDS_SECONDS = 0.5
"""The time for sending errors to clients after a second signal."""
CANNOT_LOAD = 1
ENDED_BY_SECOND_SIGNAL = 4
DIED_AT_START = 5
GC_THRESHOLD = 100_000
"""A garbage collection starts when there are this many more objects than after the last one.

A request in flight has about 240 objects, and leaves none in reference cycles. A collection visits the objects of all
requests in flight, which takes 100 ms for 100,000, so it should only run when something else may have left garbage.
"""


class Server(uvicorn.Server):
    """Raises CheckpointError when built with a checkpoint that cannot be served."""

    def __init__(self, settings: Settings, *, log_writer: LogWriter | None = None) -> None:
        self._service = build_service(settings, on_fatal=self._fail, log_writer=log_writer)
        self._grace_seconds = settings.grace_seconds
        self._event_loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._descriptors = DescriptorWatch()
        self.exit_code = 0
        limits = self._service.connection_limits
        port = settings.operation_port
        limits = replace(limits, max_connections=fit_connections(limits.max_connections, has_operation_port=port != 0))
        at_operation = replace(limits, max_connections=MAX_OPERATION_CONNECTIONS)
        connection: Any = partial(
            Connection,
            connections=Connections(limits),
            connections_at={port: Connections(at_operation)} if port else {},
        )
        super().__init__(
            uvicorn.Config(
                self._service.app,
                host=settings.host,
                port=settings.port,
                log_config=None,
                access_log=False,
                proxy_headers=False,  # nothing here depends on a client's address or scheme
                http=connection,
                timeout_keep_alive=settings.keep_alive_seconds,
                ws="none",  # WebSocket support would log handshakes with their query, which may contain texts
                timeout_graceful_shutdown=2,  # seconds; all connections are cut off earlier
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._event_loop = asyncio.get_running_loop()
        # Freeze all existing objects: a full collection that visits them would pause all streams.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            logger.info("listening on %s port %d", host, port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Requests whose client neither reads nor sends end like after a hang-up: uvicorn would log a traceback."""
        cutting = asyncio.get_running_loop().call_later(CLOSING_SECONDS, self._cut_off_clients)
        await super().shutdown(sockets)
        cutting.cancel()

    def _cut_off_clients(self) -> None:
        for connection in list(self.server_state.connections):
            cut_off(connection.transport)

    async def on_tick(self, counter: int) -> bool:
        self._descriptors.look(time.monotonic())
        return await super().on_tick(counter)

    def handle_exit(self, _sig: int, _frame: FrameType | None) -> None:
        """Drain at the first signal, and end the server at once at the second. Signals are not raised again."""
        if self._event_loop is None:
            self.should_exit = self.force_exit = True
            return
        if self._service.lifecycle.is_draining:
            self._event_loop.call_soon_threadsafe(self._start_ending)
            return
        self._service.lifecycle.start_draining()
        self._event_loop.call_soon_threadsafe(self._start_draining)

    def _start_draining(self) -> None:
        self._draining = asyncio.create_task(self._drain())

    def _start_ending(self) -> None:
        if self._ending is None:
            self._ending = asyncio.create_task(self._end_now())

    async def _end_now(self) -> None:
        """Fail the remaining requests, so that each stream ends with an `error` event."""
        logger.warning("a second signal: the remaining requests fail")
        self.exit_code = ENDED_BY_SECOND_SIGNAL
        closing = asyncio.create_task(self._service.engine.aclose())
        await self._service.lifecycle.wait_idle(LAST_WORDS_SECONDS)
        closing.cancel()
        self.should_exit = self.force_exit = True

    async def _drain(self) -> None:
        seconds = max(0.0, self._grace_seconds - EXIT_SECONDS)
        logger.info("draining: finishing running requests, for at most %g s", seconds)
        lifecycle = self._service.lifecycle
        if not await lifecycle.wait_idle(seconds):
            logger.warning("the time to finish is over: the remaining requests fail")
            await self._service.engine.aclose()
            await lifecycle.wait_idle(1.0)
        self.should_exit = True

    def _fail(self, error: WorkerStartError) -> None:
        if self.exit_code:  # other workers fail for the same reason
            return
        can_load = not isinstance(error, LoadFailedError)
        self.exit_code = DIED_AT_START if can_load else CANNOT_LOAD
        logger.error("%s%s", "workers die again and again while they start: " if can_load else "", error)
        self.should_exit = True
