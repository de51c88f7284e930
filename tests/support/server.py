"""A server as users run it, with a client for its requests. Nothing outlives its `with`."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from loadtests.bench.loopback import TIME_LIMIT_SECONDS, wait_until
from loadtests.bench.server_process import ServerProcess, has_ended
from tests.support.client import Event, read_events, request_body

ONE_ROW = {"WORKERS": 1, "THREADS_PER_WORKER": 1, "MAX_ROWS": 1}
"""Settings of a server that decodes one token at a time and needs many seconds for a long text."""


class RunningServer(ServerProcess):
    def __init__(self, process: subprocess.Popen[bytes], *, port: int, log_path: Path) -> None:
        super().__init__(process, port=port, log_path=log_path)
        self.client = httpx.Client(base_url=self.url, timeout=TIME_LIMIT_SECONDS, trust_env=False)

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

    def get(self, path: str) -> bytes:
        """As in the base class, on a connection that is kept alive and with the client's headers."""
        try:
            return self.client.get(path).raise_for_status().content
        except (httpx.TransportError, httpx.HTTPStatusError) as error:
            raise ConnectionError(str(error)) from error

    def metric_families(self) -> dict[str, Metric]:
        """Metric families by name; the name of a counter's family lacks `_total`."""
        page = self.get("/metrics").decode()
        return {family.name: family for family in text_string_to_metric_families(page)}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all series with this name and these labels."""
        return self.metrics().sum(name, **labels)

    # Processes and state.

    def wait_running(self) -> None:
        wait_until(lambda: self.metric("kakehashi_rows_running"), "rows are running")

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


@contextmanager
def starting_server(
    directory: Path, settings: Mapping[str, object] | None = None, *, flags: Sequence[str] = ()
) -> Iterator[RunningServer]:
    """Start a server in `directory`, which gets its log. `settings` are KAKEHASHI_ variables."""
    # Tests freeze workers for as long as they like; the watchdog must not replace them.
    server = RunningServer.start(directory, {"WORKER_TIMEOUT_SECONDS": 600, **(settings or {})}, flags=flags)
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
