"""Tracks whether the server accepts requests, and how many of each client are in flight."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import DrainingError


class Lifecycle:
    def __init__(self) -> None:
        self._in_flight: Counter[str] = Counter()
        """By client."""
        self._is_draining = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_draining(self) -> bool:
        return self._is_draining

    @property
    def num_requests(self) -> int:
        """The number of requests in flight."""
        return self._in_flight.total()

    @property
    def num_clients(self) -> int:
        """The number of clients with requests in flight."""
        return len(self._in_flight)

    def num_requests_of(self, client: str) -> int:
        return self._in_flight[client]

    def check_open(self) -> None:
        """Raises DrainingError once the server drains."""
        if self._is_draining:
            raise DrainingError("the server is shutting down", retry_after_seconds=5)

    @contextmanager
    def request(self, client: str = "") -> Iterator[None]:
        """A context around the handling of a request. Raises DrainingError once the server drains.

        `client` is the name of an API key, or empty.
        """
        self.check_open()
        self._in_flight[client] += 1
        self._idle.clear()
        try:
            yield
        finally:
            self._in_flight[client] -= 1
            if not self._in_flight[client]:
                del self._in_flight[client]
            if not self._in_flight:
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
