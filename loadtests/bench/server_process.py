"""A server as users run it: a process with a log and a port on the loopback interface.

`terminate` leaves nothing behind: the service process gets SIGTERM, and whatever remains of it SIGKILL.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

import psutil

from loadtests.bench.loopback import HOST, TIME_LIMIT_SECONDS, free_port, wait_until
from loadtests.bench.metrics_page import MetricsPage
from model.transformer.compute_types import ISA_VARIABLE

FORK_SERVER_MODULE = "service.engine.fork_server"
PORT_VARIABLE = "KAKEHASHI_PORT"
BUSY = ("kakehashi_rows_running", "kakehashi_requests_waiting", "kakehashi_queue_tokens")


class ServerProcess:
    def __init__(self, process: subprocess.Popen[bytes], *, port: int, log_path: Path) -> None:
        """`process` was started with `PORT_VARIABLE`."""
        self.process = process
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.log_path = log_path

    @classmethod
    def start(cls, directory: Path, settings: Mapping[str, object], *, flags: Sequence[str] = ()) -> Self:
        """Start a server in `directory`, which gets its log. `settings` are KAKEHASHI_ variables."""
        port = free_port()
        log_path = directory / f"server-{port}.log"
        environment = {
            name: value
            for name, value in os.environ.items()
            if name == ISA_VARIABLE or not name.startswith("KAKEHASHI_")
        }
        environment |= {PORT_VARIABLE: str(port), "HF_HUB_OFFLINE": "1"}
        environment |= {f"KAKEHASHI_{name}": str(value) for name, value in settings.items()}
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "service.cli", "serve", *flags],
                cwd=directory,  # so that a developer's `.env` is not read
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return cls(process, port=port, log_path=log_path)

    @property
    def log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    # State.

    def get(self, path: str) -> bytes:
        """The body of an answer, which must be a 200. Raises OSError."""
        with urlopen(self.url + path, timeout=TIME_LIMIT_SECONDS) as answer:
            body: bytes = answer.read()
            return body

    def models(self) -> list[dict[str, Any]]:
        return list(json.loads(self.get("/v1/models"))["models"])

    def metrics(self) -> MetricsPage:
        return MetricsPage.of(self.get("/metrics").decode())

    def is_ready(self) -> bool:
        """Whether the server is ready. Fails with the log if the process has ended."""
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with status {self.process.returncode}:\n{self.log}")
        try:
            return bool(self.get("/health/ready"))
        except OSError:
            return False

    def wait_ready(self) -> None:
        wait_until(self.is_ready, "the server is ready")

    def is_idle(self) -> bool:
        """Whether nothing waits, nothing runs, and every slot of every worker is free."""
        page = self.metrics()
        num_slots = sum(model["max_rows"] * model["workers"] for model in self.models())
        return not any(page.sum(name) for name in BUSY) and page.sum("kakehashi_slots_free") == num_slots

    def wait_idle(self, *, limit_seconds: float = TIME_LIMIT_SECONDS) -> None:
        wait_until(self.is_idle, "the server is idle, with all slots free", limit_seconds=limit_seconds)

    # Processes.

    def processes(self) -> list[psutil.Process]:
        """All processes of the server, the service process first."""
        found = [process for process in psutil.process_iter() if _port_of(process) == str(self.port)]
        return sorted(found, key=lambda each: (each.pid != self.process.pid, each.pid))

    def fork_servers(self) -> list[psutil.Process]:
        """The fork servers: one process, except while it starts or ends."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if FORK_SERVER_MODULE in _command_line(child)]

    def workers(self) -> list[psutil.Process]:
        """The worker processes, including those whose fork server was killed."""
        return [process for process in self.processes()[1:] if self._is_grandchild(process)]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def terminate(self) -> int:
        """Send SIGTERM, and SIGKILL after the time limit. Returns the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(TIME_LIMIT_SECONDS)
        finally:
            for process in self.processes():
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.terminate()

    def _is_grandchild(self, process: psutil.Process) -> bool:
        try:
            return bool(process.ppid() != self.process.pid)
        except psutil.NoSuchProcess:
            return False


def has_ended(process: psutil.Process) -> bool:
    """Whether the process has ended; true for a zombie process, too."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _port_of(process: psutil.Process) -> str | None:
    """The port in the environment that a server's processes inherit, with which a worker outlives its fork server."""
    try:
        environment: dict[str, str] = process.environ()
    except (psutil.Error, OSError):
        return None
    return environment.get(PORT_VARIABLE)


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []
