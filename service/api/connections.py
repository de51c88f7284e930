"""All connections of one server, checked about once a second for clients that are too slow."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

LOOKS_IN_A_TIMEOUT = 4
LONGEST_PAUSE_SECONDS = 1.0
NUM_RESERVED = 32
"""Connections accepted beyond the limit, for health checks and metrics. Other requests on them are refused."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits of one server.

    A head is refused after `arrival_seconds`. A client that takes nothing of its answer for `stall_seconds` is cut off.
    """

    max_connections: int = 1024
    max_head_bytes: int = 128 << 10
    max_headers: int = 100
    arrival_seconds: float = 20.0
    stall_seconds: float = 30.0


class WatchedConnection(Protocol):
    def look(self, now: float) -> None:
        """End the connection if its client is too slow; `now` is in the event loop's time."""


class Connections:
    """One timer checks all connections. A timer for each wait would cost more than all other work for a connection."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._open: set[WatchedConnection] = set()
        shortest = min(limits.stall_seconds, limits.arrival_seconds)
        self._pause_seconds = min(LONGEST_PAUSE_SECONDS, shortest / LOOKS_IN_A_TIMEOUT)
        self._is_looking = False

    @property
    def is_over_limit(self) -> bool:
        return len(self._open) > self.limits.max_connections

    @property
    def is_reserve_spent(self) -> bool:
        return len(self._open) > self.limits.max_connections + NUM_RESERVED

    def add(self, connection: WatchedConnection) -> None:
        self._open.add(connection)
        if not self._is_looking:
            self._is_looking = True
            self._look_later(asyncio.get_running_loop())

    def remove(self, connection: WatchedConnection) -> None:
        self._open.discard(connection)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(self._pause_seconds, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for connection in list(self._open):
            connection.look(now)
        if self._open:
            self._look_later(loop)
        else:
            self._is_looking = False
