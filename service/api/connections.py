"""All connections to one port, checked about once a second for clients that are too slow.

1. Up to `max_connections`, every request is served.
2. On the NUM_RESERVED connections beyond them, only health checks and metrics are served, and other requests refused.
3. Beyond those, each new connection takes the place of the one that has waited longest for the end of a request, and so
   idle connections never keep a health check out. If a request is being answered on every other connection, the new one
   is closed.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

LOOKS_IN_A_TIMEOUT = 4
LONGEST_PAUSE_SECONDS = 1.0
NUM_RESERVED = 32
"""Connections accepted beyond the limit, for health checks and metrics. Other requests on them are refused."""
MAX_OPERATION_CONNECTIONS = 32
"""The limit at the port for operation, which counts its connections apart."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """The limits of one port.

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

    def give_way(self) -> None:
        """End the connection for a new one."""


class Connections:
    """One timer checks all connections. A timer for each wait would cost more than all other work for a connection."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._open: set[WatchedConnection] = set()
        self._waiting: OrderedDict[WatchedConnection, None] = OrderedDict()
        """The open connections on which no whole request has arrived since the last answer; the longest first."""
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
        """Add a connection, which waits for its first request. The longest waiting one may have to give way to it."""
        self._open.add(connection)
        if self.is_reserve_spent and self._waiting:
            longest, _ = self._waiting.popitem(last=False)
            self._open.remove(longest)
            longest.give_way()
        self._waiting[connection] = None
        if not self._is_looking:
            self._is_looking = True
            self._look_later(asyncio.get_running_loop())

    def remove(self, connection: WatchedConnection) -> None:
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def wait(self, connection: WatchedConnection) -> None:
        """Note that the last request has its answer."""
        if connection in self._open:
            self._waiting[connection] = None

    def end_wait(self, connection: WatchedConnection) -> None:
        """Note that a whole request has arrived."""
        self._waiting.pop(connection, None)

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
