"""The value of the fixture `start_server`."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.support.server import RunningServer, starting_server
from tests.support.server_guard import ServerGuard


class ServerStarter:
    """Starts servers that live as long as the test."""

    def __init__(self, directory: Path, stack: ExitStack, guard: ServerGuard) -> None:
        self._directory = directory
        self._stack = stack
        self._guard = guard
        self._started: list[RunningServer] = []

    def __call__(self, settings: Mapping[str, object], *, flags: Sequence[str] = ()) -> RunningServer:
        """Start a server with these settings and wait until it is ready."""
        return self.wait_ready(self.starting(settings, flags=flags))

    def all(self, *settings: Mapping[str, object]) -> list[RunningServer]:
        """Start a server for each of these settings, side by side, and wait until all are ready."""
        return [self.wait_ready(server) for server in [self.starting(each) for each in settings]]

    def starting(self, settings: Mapping[str, object], *, flags: Sequence[str] = ()) -> RunningServer:
        """Start a server without waiting."""
        server = self._stack.enter_context(starting_server(self._directory, settings, flags=flags))
        self._started.append(server)
        return server

    def wait_ready(self, server: RunningServer) -> RunningServer:
        server.wait_ready()
        self._guard.watch(server)
        return server

    def stop_all(self) -> None:
        """Send SIGTERM to all, so that they end side by side."""
        for server in self._started:
            if server.process.poll() is None:
                server.process.terminate()
