"""Checks on every server after every end-to-end test: it is idle, and its event loop was never blocked."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from loadtests.bench.event_loop_watch import EventLoopWatch, watched_event_loop
from tests.support.server import RunningServer

IDLE_SECONDS = 10.0
"""The time limit for clearing up after a test."""
LIMIT_SECONDS = 0.25
STANDSTILL_SECONDS = "standstill_seconds"
"""The name of the test property that holds a test's longest standstill."""
BUSY_MACHINE_FACTOR = 4
"""Four times the guaranteed limit, because a busy machine delays the probe as well as the server."""


@dataclass(frozen=True, slots=True)
class Standstill:
    seconds: float
    test: str

    def __str__(self) -> str:
        return f"{self.seconds * 1000:.0f} ms in {self.test}"


class Report(Protocol):
    """One phase of a test, as pytest reports it, with the properties that the test has recorded so far."""

    @property
    def nodeid(self) -> str: ...
    @property
    def user_properties(self) -> list[tuple[str, object]]: ...


def find_longest_standstill(reports: Iterable[Report]) -> Standstill | None:
    """The longest of the standstills that tests recorded under STANDSTILL_SECONDS."""
    found = [
        Standstill(seconds, report.nodeid)
        for report in reports
        for name, seconds in report.user_properties
        if name == STANDSTILL_SECONDS and isinstance(seconds, float)
    ]
    return max(found, key=lambda each: each.seconds, default=None)


class ServerGuard:
    """Watches the servers of one test from `watch` on."""

    def __init__(self) -> None:
        self._watches: dict[RunningServer, EventLoopWatch] = {}
        self._stack = ExitStack()

    def watch(self, server: RunningServer) -> None:
        """Watch a server that is ready."""
        if server not in self._watches:
            self._watches[server] = self._stack.enter_context(watched_event_loop(server.port, pid=server.process.pid))

    def check_idle(self) -> None:
        for server in self._watches:
            server.wait_idle(limit_seconds=IDLE_SECONDS)

    def stop(self) -> float:
        """Stop watching. Returns the longest time in seconds that an event loop was blocked."""
        self._stack.close()
        return max((watch.longest_seconds for watch in self._watches.values()), default=0.0)
