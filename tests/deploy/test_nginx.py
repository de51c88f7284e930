"""The nginx example, by a real nginx in front of a running server."""

import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from threading import Thread

import httpx
import pytest

from loadtests.bench.loopback import free_port, wait_until
from service.settings import Settings
from tests.deploy.nginx_server import EXAMPLE, nginx_command, running_nginx
from tests.support.client import NO_STORE, read_events, request_body
from tests.support.server import RunningServer

DEFAULTS = Settings.model_construct()
TEXT = "The cat is on the table. The dog is under it."
LONG_TEXT = " ".join(f"The old man bought {number} loaves of bread." for number in range(20))


@pytest.fixture(scope="module")
def client(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with (
        running_nginx(tmp_path_factory.mktemp("nginx"), server.port) as url,
        httpx.Client(base_url=url, timeout=30.0, trust_env=False) as client,
    ):
        yield client


def test_nginx_accepts_the_example(tmp_path: Path) -> None:
    command = nginx_command(tmp_path, port=free_port(), upstream_ports=[free_port()])
    done = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_event_arrives_before_the_next_is_written(server: RunningServer, client: httpx.Client) -> None:
    """Workers are frozen in mid-stream: all events so far must have passed nginx."""

    def num_generated() -> int:
        return int(server.metric("kakehashi_generated_tokens_total")) - before

    before = int(server.metric("kakehashi_generated_tokens_total"))
    body = request_body(LONG_TEXT, "en", "de", stream=True)
    with client.stream("POST", "/v1/translations", json=body, headers=NO_STORE) as answer:
        wait_until(lambda: num_generated() >= 30, "tokens are generated")
        with server.frozen():
            num_written = num_generated()
            events = (event for event in read_events(answer) if event.name in {"token", "done", "error"})
            assert [event.name for event in islice(events, num_written)] == ["token"] * num_written
        # To its end, so that no hang-up is counted later. A slow machine may meet the deadline before.
        assert [event.name for event in events][-1] in {"done", "error"}
    server.wait_idle()


def test_a_stream_is_whole(server: RunningServer, client: httpx.Client) -> None:
    with client.stream("POST", "/v1/translations", json=request_body(TEXT, "en", "de", stream=True)) as answer:
        events = list(read_events(answer))
    assert events[-1].name == "done"
    (translation,) = [event.data["text"] for event in events if event.name == "translation"]
    assert translation == server.text(TEXT, "en", "de")


def test_a_hang_up_reaches_the_server(server: RunningServer, client: httpx.Client) -> None:
    def num_cancelled() -> float:
        return server.metric("kakehashi_requests_total", outcome="cancelled")

    before = num_cancelled()
    with server.frozen(), client.stream("POST", "/v1/translations", json=request_body(TEXT, "en", "fr", stream=True)):
        pass
    wait_until(lambda: num_cancelled() == before + 1, "the hang-up is counted")
    server.wait_idle()


def test_a_request_id_is_passed_on_or_given(client: httpx.Client) -> None:
    assert client.get("/health/live", headers={"X-Request-ID": "mine"}).headers["X-Request-ID"] == "mine"
    assert re.fullmatch(r"[0-9a-f]{32}", client.get("/health/live").headers["X-Request-ID"])


def test_a_body_over_the_servers_limit_gets_the_servers_answer(client: httpx.Client) -> None:
    answer = client.post("/v1/translations", content=b"x" * (DEFAULTS.max_body_bytes + 1))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


def test_metrics_are_not_for_the_outside(client: httpx.Client) -> None:
    assert client.get("/metrics").status_code == 404


def test_a_plain_answer_may_take_as_long_as_the_server_allows() -> None:
    (limit,) = re.findall(r"proxy_read_timeout (\d+)s;", EXAMPLE.read_text())
    assert int(limit) > DEFAULTS.timeout_seconds


def test_a_server_on_a_loopback_address_is_reached_by_any_name(client: httpx.Client) -> None:
    assert client.get("/v1/models", headers={"Host": "translate.example"}).status_code == 200


class ClosingServer:
    """Reads a request and closes the connection without an answer, as a server that dies does. Counts requests."""

    def __init__(self) -> None:
        self.num_requests = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    self.num_requests += bool(connection.recv(65536))

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


def test_a_post_that_was_sent_is_never_sent_again(tmp_path: Path) -> None:
    dying = [ClosingServer(), ClosingServer()]
    with running_nginx(tmp_path, *(each.port for each in dying)) as url:
        assert httpx.post(f"{url}/v1/translations", json={}, trust_env=False).status_code == 502
    assert sum(each.num_requests for each in dying) == 1
    for each in dying:
        each.close()


def test_a_post_that_met_a_closed_door_is_sent_to_another_server(tmp_path: Path) -> None:
    dying = ClosingServer()
    with running_nginx(tmp_path, free_port(), dying.port) as url:
        assert httpx.post(f"{url}/v1/translations", json={}, trust_env=False).status_code == 502
    assert "Connection refused" in (tmp_path / "error.log").read_text()
    assert dying.num_requests == 1
    dying.close()


def test_a_client_has_a_limit_of_open_requests(tmp_path: Path) -> None:
    (limit,) = map(int, re.findall(r"limit_conn kakehashi_clients (\d+);", EXAMPLE.read_text()))
    waiting = socket.create_server(("127.0.0.1", 0), backlog=limit)
    with running_nginx(tmp_path, waiting.getsockname()[1]) as url, ExitStack() as stack:
        port = int(url.rpartition(":")[2])
        for _ in range(limit):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: httpx.get(url, trust_env=False, timeout=1.0).status_code == 429, "the limit is reached")
        answer = httpx.get(url, trust_env=False)
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["status"] == 429
    waiting.close()
