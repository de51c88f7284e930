"""A real redis-server on a free port of the loopback interface, without persistence.

Nothing outlives its `with`. Commands go over its Unix socket, independent of its other listeners.
"""

import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from loadtests.bench.loopback import HOST, free_port, wait_until

TIME_LIMIT_SECONDS = 30.0
PROGRAM = "redis-server"


class RedisServer:
    def __init__(self, directory: Path, *, port: int, password: str | None, arguments: tuple[str, ...] = ()) -> None:
        self.port = port
        self.url = f"redis://{HOST}:{port}"
        self.socket_path = directory / "s"
        self._directory = directory
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._control = redis.Redis(
            unix_socket_path=str(self.socket_path),
            password=password,
            socket_timeout=TIME_LIMIT_SECONDS,
            retry=Retry(NoBackoff(), 1),
        )

    def start(self) -> None:
        """Start it empty, always on the same port, and wait until it answers. Raises RuntimeError if it ends."""
        with (self._directory / "log").open("ab") as log:
            command = [PROGRAM, str(self._directory / "conf"), *self._arguments]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self._answers, f"{PROGRAM} answers", limit_seconds=TIME_LIMIT_SECONDS)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(TIME_LIMIT_SECONDS)

    def close(self) -> None:
        self._control.close()
        if self._process is not None and self._process.poll() is None:
            self.kill()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Inside, the server accepts connections and bytes, but answers only afterwards."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def ask(self, *command: str | bytes | int) -> Any:
        return self._control.execute_command(*command)  # type: ignore[no-untyped-call]

    def configure(self, name: str, value: str) -> None:
        self.ask("CONFIG SET", name, value)

    def num_calls(self, command: str) -> int:
        """The number of calls of `command` since the start."""
        statistics: dict[str, Any] = self.ask("INFO", "commandstats").get(f"cmdstat_{command}", {})
        return int(statistics.get("calls", 0))

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise RuntimeError(f"{PROGRAM} ended:\n{(self._directory / 'log').read_text()}")
        try:
            return bool(self.ask("PING"))
        except redis.ConnectionError:
            return False


@contextmanager
def running_redis(
    settings: Mapping[str, str] | None = None,
    *,
    password: str | None = None,
    arguments: tuple[str, ...] = (),
    port: int | None = None,
) -> Iterator[RedisServer]:
    """`settings` are lines of its configuration file. Raises SystemExit if Redis is not installed."""
    if shutil.which(PROGRAM) is None:
        raise SystemExit(
            f"{PROGRAM} is not on PATH; install it (`apt-get install {PROGRAM}`), or run without it: --tiers memory"
        )
    port = port or free_port()
    with TemporaryDirectory(prefix="redis-") as name:
        directory = Path(name)
        lines = {"bind": HOST, "port": str(port), "dir": name, "unixsocket": str(directory / "s")}
        if "--sentinel" not in arguments:
            lines |= {"save": '""', "appendonly": "no"}
        if password is not None:
            lines["requirepass"] = password
        text = "".join(f"{key} {value}\n" for key, value in (lines | dict(settings or {})).items())
        (directory / "conf").write_text(text)
        server = RedisServer(directory, port=port, password=password, arguments=arguments)
        try:
            server.start()
            yield server
        finally:
            server.close()
