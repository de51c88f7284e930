"""All connections of one server, which are looked at about once a second for clients that keep them waiting."""

import asyncio
from dataclasses import dataclass
from typing import Protocol

LOOKS_IN_A_TIMEOUT = 4
LONGEST_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """A client that takes nothing of its answer for `stall_seconds` is cut off."""

    stall_seconds: float = 30.0


class WatchedConnection(Protocol):
    def look(self, now: float) -> None:
        """End the connection if its client is too slow; `now` is in the event loop's time."""


class Connections:
    """One timer for all: a timer for each wait of each connection costs more than everything else done for it."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self.limits = limits
        self._open: set[WatchedConnection] = set()
        self._pause_seconds = min(LONGEST_PAUSE_SECONDS, limits.stall_seconds / LOOKS_IN_A_TIMEOUT)
        self._is_looking = False

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
