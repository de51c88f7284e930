"""A server as users run it: a process with a log and a port on the loopback interface.

Nothing outlives its `with`: the service process gets SIGTERM and then SIGKILL, and workers that remain are killed.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from loadtests.bench.loopback import HOST, TIME_LIMIT_SECONDS, free_port, wait_until
from loadtests.bench.metrics_page import MetricsPage
from model.transformer.compute_types import ISA_VARIABLE
from tests.support.client import Event, read_events, request_body

ONE_ROW = {"WORKERS": 1, "THREADS_PER_WORKER": 1, "MAX_ROWS": 1}
"""Settings of a server that decodes one token at a time and needs many seconds for a long text."""
BUSY = ("kakehashi_rows_running", "kakehashi_requests_waiting", "kakehashi_queue_tokens")


def has_ended(process: psutil.Process) -> bool:
    """Whether the process has ended; true for a zombie process, too."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class RunningServer:
    def __init__(self, process: subprocess.Popen[bytes], *, port: int, log_path: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://{HOST}:{port}"
        self.client = httpx.Client(base_url=self.url, timeout=TIME_LIMIT_SECONDS, trust_env=False)
        self._log_path = log_path

    @property
    def log(self) -> str:
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    def async_client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=None)
        return httpx.AsyncClient(base_url=self.url, timeout=TIME_LIMIT_SECONDS, limits=limits, trust_env=False)

    # Requests.

    def translate(
        self,
        text: str | list[str],
        source_lang: str,
        target_lang: str | list[str],
        *,
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Any:
        """Send a plain request and return its answer, which must be a 200."""
        body = request_body(text, source_lang, target_lang, **options)
        answer = self.client.post("/v1/translations", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def text(self, text: str, source_lang: str, target_lang: str, **options: Any) -> str:
        translated: str = self.translate(text, source_lang, target_lang, **options)["translations"][0]["text"]
        return translated

    @contextmanager
    def open_stream(self, text: str | list[str], source_lang: str, target_lang: str | list[str], **options: Any) -> Any:
        """An iterator over the events as they arrive. Leaving the context hangs up."""
        body = request_body(text, source_lang, target_lang, stream=True, **options)
        with self.client.stream("POST", "/v1/translations", json=body) as answer:
            assert answer.status_code == 200, answer.read()
            yield read_events(answer)

    def stream(
        self, text: str | list[str], source_lang: str, target_lang: str | list[str], **options: Any
    ) -> list[Event]:
        with self.open_stream(text, source_lang, target_lang, **options) as events:
            return list(events)

    def model(self) -> dict[str, Any]:
        """The only checkpoint in `/v1/models`."""
        (model,) = self.models()
        return model

    def models(self) -> list[dict[str, Any]]:
        return list(self.client.get("/v1/models").json()["models"])

    def metric_families(self) -> dict[str, Metric]:
        """Metric families by name; the name of a counter's family lacks `_total`."""
        page = self.client.get("/metrics").text
        return {family.name: family for family in text_string_to_metric_families(page)}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all series with this name and these labels."""
        return self.metrics().sum(name, **labels)

    def metrics(self) -> MetricsPage:
        return MetricsPage.of(self.client.get("/metrics").text)

    # Processes and state.

    def is_ready(self) -> bool:
        """Whether the server is ready. Fails with the log if the process has ended."""
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with status {self.process.returncode}:\n{self.log}")
        try:
            return self.client.get("/health/ready").status_code == 200
        except httpx.TransportError:
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

    def wait_running(self) -> None:
        wait_until(lambda: self.metric("kakehashi_rows_running"), "rows are running")

    def fork_servers(self) -> list[psutil.Process]:
        """The fork servers: one process, except while it starts or ends."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "service.engine.fork_server" in _command_line(child)]

    def workers(self) -> list[psutil.Process]:
        """The worker processes: the children of the fork server."""
        return [worker for fork_server in self.fork_servers() for worker in fork_server.children()]

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stop the workers inside the context, so that their work does not finish."""
        workers = self.workers()
        for worker in workers:
            worker.suspend()
        try:
            yield
        finally:
            for worker in workers:
                if not has_ended(worker):
                    worker.resume()

    def wait_exit(self) -> int:
        return self.process.wait(TIME_LIMIT_SECONDS)

    def terminate(self) -> int:
        """Send SIGTERM, and SIGKILL after the time limit. Returns the exit status."""
        workers = self.workers() if self.process.poll() is None else []
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(TIME_LIMIT_SECONDS)
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait()
            for worker in workers:
                if not has_ended(worker):
                    worker.kill()


@contextmanager
def starting_server(
    directory: Path, settings: Mapping[str, object] | None = None, *, flags: Sequence[str] = ()
) -> Iterator[RunningServer]:
    """Start a server in `directory`, which gets its log. `settings` are KAKEHASHI_ variables."""
    port = free_port()
    log_path = directory / f"server-{port}.log"
    environment = {
        name: value for name, value in os.environ.items() if name == ISA_VARIABLE or not name.startswith("KAKEHASHI_")
    }
    # Tests freeze workers for as long as they like; the watchdog must not replace them.
    environment |= {"KAKEHASHI_PORT": str(port), "KAKEHASHI_WORKER_TIMEOUT_SECONDS": "600", "HF_HUB_OFFLINE": "1"}
    environment |= {f"KAKEHASHI_{name}": str(value) for name, value in (settings or {}).items()}
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service.cli", "serve", *flags],
            cwd=directory,  # so that a developer's `.env` is not read
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    server = RunningServer(process, port=port, log_path=log_path)
    try:
        yield server
    finally:
        server.client.close()
        server.terminate()


@contextmanager
def running_server(
    directory: Path, settings: Mapping[str, object] | None = None, *, flags: Sequence[str] = ()
) -> Iterator[RunningServer]:
    """Start a server and wait until it is ready."""
    with starting_server(directory, settings, flags=flags) as server:
        server.wait_ready()
        yield server


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
