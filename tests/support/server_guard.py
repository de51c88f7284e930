"""What must hold of every server after every end-to-end test: it is idle, and its event loop never stood still."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from tests.support.event_loop_watch import EventLoopWatch, watched_event_loop
from tests.support.server import RunningServer

IDLE_SECONDS = 10.0
"""How long what the test left may take to be cleared away."""
LIMIT_SECONDS = 0.25
STANDSTILL_SECONDS = "standstill_seconds"
"""The property of a test that has its longest standstill."""
BUSY_MACHINE_FACTOR = 4
"""A machine that is busy with other things delays the probe as well as the server: four times the limit is allowed."""


@dataclass(frozen=True, slots=True)
class Standstill:
    seconds: float
    test: str

    def __str__(self) -> str:
        return f"{self.seconds * 1000:.0f} ms in {self.test}"


class Report(Protocol):
    """One phase of a test, as pytest reports it, with what the test recorded until then."""

    @property
    def nodeid(self) -> str: ...
    @property
    def user_properties(self) -> list[tuple[str, object]]: ...


def find_longest_standstill(reports: Iterable[Report]) -> Standstill | None:
    """Over all tests that recorded one under STANDSTILL_SECONDS."""
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
        """The server must be ready."""
        if server not in self._watches:
            self._watches[server] = self._stack.enter_context(watched_event_loop(server.port))

    def check_idle(self) -> None:
        for server in self._watches:
            server.wait_idle(limit_seconds=IDLE_SECONDS)

    def stop(self) -> float:
        """The longest time in seconds that an event loop stood still."""
        self._stack.close()
        return max((watch.longest_seconds for watch in self._watches.values()), default=0.0)
