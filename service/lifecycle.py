"""Tracks whether the server accepts requests, and how many are in flight."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import DrainingError


class Lifecycle:
    def __init__(self) -> None:
        self._num_requests = 0
        self._is_draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_draining(self) -> bool:
        return self._is_draining

    @property
    def num_requests(self) -> int:
        """The number of requests in flight."""
        return self._num_requests

    def check_open(self) -> None:
        """Raises DrainingError once the server drains."""
        if self._is_draining:
            raise DrainingError("the server is shutting down", retry_after_seconds=5)

    @contextmanager
    def request(self) -> Iterator[None]:
        """A context around the handling of a request. Raises DrainingError once the server drains."""
        self.check_open()
        self._num_requests += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._num_requests -= 1
            if self._num_requests == 0:
                self._idle.set()

    def start_draining(self) -> None:
        self._is_draining = True

    async def wait_idle(self, timeout_seconds: float) -> bool:
        """Wait until no request is in flight. Returns whether that happened in time."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
