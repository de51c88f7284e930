"""Every line of the log is a JSON object with the id of its request, and without texts unless a setting allows them."""

import asyncio
import json
import os
import pty
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from loadtests.bench.loopback import HOST, free_port, wait_until
from tests.support.client import raw_request, request_body
from tests.support.server import RunningServer, running_server
from tests.support.server_starter import ServerStarter

SECRET = "zeppelin"
BODY = request_body(f"A {SECRET} is in the sky.", "en", "de")
ACCESS = "service.api.access_log"


def lines(server: RunningServer) -> list[dict[str, Any]]:
    """All of the log; fails where a line is no object."""
    entries = [json.loads(line) for line in server.log.splitlines()]
    assert all(isinstance(entry, dict) for entry in entries)
    return entries


def lines_of(server: RunningServer, request_id: str) -> list[dict[str, Any]]:
    """The log records of a request, complete once it is accounted for."""

    def found() -> list[dict[str, Any]]:
        return [entry for entry in lines(server) if entry.get("request_id") == request_id]

    wait_until(lambda: any(entry["logger"] == ACCESS for entry in found()), "the request is logged")
    return found()


def access_line(server: RunningServer, answer: httpx.Response) -> dict[str, Any]:
    (line,) = [line for line in lines_of(server, answer.headers["x-request-id"]) if line["logger"] == ACCESS]
    return line


def send_all(server: RunningServer) -> None:
    """Good and bad requests, with the secret in every place where a client can put one."""
    client = server.client
    for body in (BODY, BODY | {"stream": True}, BODY | {"target_lang": SECRET}, BODY | {SECRET: SECRET}):
        client.post("/v1/translations", json=body)
        client.get("/v1/translations/stream", params=body)
    client.post("/v1/translations", json=BODY | {"beam_size": SECRET, "text": [SECRET, 5]})
    client.post("/v1/translations", json=BODY | {"timeout_s": 1e-6})
    client.post("/v1/translations", json=BODY | {"prefix": SECRET})
    client.post("/v1/translations", content=SECRET.encode() + b'"', headers={"Content-Type": "application/json"})
    client.post("/v1/explain", json={"text": f"{SECRET}. {SECRET}.", "source_lang": "en", "target_lang": "de"})
    client.get(f"/{SECRET}", params={SECRET: SECRET})
    websocket = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}
    client.get("/v1/translations/stream", params=BODY, headers=websocket | {"Sec-WebSocket-Version": "13"})


@pytest.fixture(scope="module", params=["info", "debug"])
def server(
    request: pytest.FixtureRequest, random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    """Default settings but for the level: the log is a file, so that its format is JSON."""
    settings = {"MODEL": random_checkpoint, "WORKERS": 1, "LOG_LEVEL": request.param}
    with running_server(tmp_path_factory.mktemp("logs"), settings) as server:
        yield server


def test_every_line_is_an_object_without_a_text(server: RunningServer) -> None:
    send_all(server)
    access_line(server, server.client.get("/v1/models"))
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines(server))
    assert {"service.engine.engine", "uvicorn.error", ACCESS} <= {line["logger"] for line in lines(server)}
    assert SECRET not in server.log


def test_a_request_is_one_line_that_says_how_it_went(server: RunningServer) -> None:
    answer = server.client.post("/v1/translations", json=BODY, headers={"X-Request-ID": f"one-{server.port}"})
    line = access_line(server, answer)
    usage = answer.json()["usage"]
    expected = {"method": "POST", "route": "/v1/translations", "status": 200, "outcome": "ok", "stream": False}
    assert expected.items() <= line.items()
    assert (line["source_tokens"], line["generated_tokens"]) == (usage["source_tokens"], usage["generated_tokens"])
    assert line["level"] == "info"
    assert 0 < line["duration_seconds"] < 60


@pytest.mark.parametrize(
    ("sent", "status", "outcome"), [({"zz": 1}, 422, "invalid"), ({**BODY, "timeout_s": 1e-6}, 504, "timeout")]
)
def test_the_id_of_a_request_that_failed_is_in_the_log(
    server: RunningServer, sent: dict[str, Any], status: int, outcome: str
) -> None:
    answer = server.client.post("/v1/translations", json=sent, headers={"Cache-Control": "no-store"})
    line = access_line(server, answer)
    assert (line["status"], line["outcome"]) == (answer.status_code, outcome) == (status, outcome)
    assert line["request_id"] == answer.json()["request_id"]


def test_a_path_that_is_not_served_is_logged_without_it(server: RunningServer) -> None:
    assert access_line(server, server.client.get(f"/{SECRET}"))["route"] == "unmatched"


def test_probes_are_logged_at_debug_only(server: RunningServer) -> None:
    ids = [server.client.get(path).headers["x-request-id"] for path in ("/health/live", "/health/ready", "/metrics")]
    access_line(server, server.client.get("/v1/models"))
    levels = {line["level"] for line in lines(server) if line.get("request_id") in ids}
    assert levels == ({"debug"} if any(line["level"] == "debug" for line in lines(server)) else set())


async def test_a_hang_up_is_logged_as_one(server: RunningServer) -> None:
    def cancelled() -> list[dict[str, Any]]:
        return [line for line in lines(server) if line.get("outcome") == "cancelled"]

    before = len(cancelled())
    with server.frozen():
        async with raw_request(server.port, BODY | {"stream": True}) as reader:
            await reader.readuntil(b"event: start")
        wait_until(lambda: len(cancelled()) > before, "the hang-up is logged")
    assert cancelled()[-1]["stream"] is True


async def test_a_hang_up_in_a_body_is_no_failure_of_the_server(server: RunningServer) -> None:
    _, writer = await asyncio.open_connection(HOST, server.port)
    head = f"POST /v1/translations HTTP/1.1\r\nHost: {HOST}\r\nX-Request-ID: half-{server.port}\r\n"
    writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    (line,) = await asyncio.to_thread(lines_of, server, f"half-{server.port}")
    assert (line["level"], line["outcome"], line["status"]) == ("info", "cancelled", 499)


def test_running_out_of_descriptors_is_logged_and_survived(server: RunningServer) -> None:
    pid = server.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    limit = max(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()) + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limits[1]))
    try:
        with ExitStack() as stack:
            for _ in range(limit):
                stack.enter_context(socket.create_connection((HOST, server.port)))
            wait_until(lambda: "no descriptor is free" in server.log, "the lack of descriptors is logged")
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    (line,) = [line for line in lines(server) if "no descriptor is free" in line["message"]]
    assert (line["level"], line["logger"]) == ("warning", "service.descriptors")
    assert server.text("Hello.", "en", "de")


@pytest.mark.stops_servers
def test_texts_are_logged_and_the_lines_of_requests_left_out_when_that_is_asked_for(
    start_server: ServerStarter, random_checkpoint: Path
) -> None:
    settings = {"MODEL": random_checkpoint, "WORKERS": 1}
    telling, quiet = start_server.all(settings | {"LOG_TEXTS": "true"}, settings | {"ACCESS_LOG": "false"})
    assert access_line(telling, telling.client.post("/v1/translations", json=BODY))["texts"] == [BODY["text"]]
    assert quiet.client.post("/v1/translations", json=BODY).status_code == 200
    assert quiet.terminate() == 0
    assert not [line for line in lines(quiet) if line["logger"] == ACCESS]


@pytest.mark.stops_servers
def test_the_death_of_a_worker_and_the_end_are_logged_as_objects_too(
    start_server: ServerStarter, random_checkpoint: Path
) -> None:
    server = start_server({"MODEL": random_checkpoint, "WORKERS": 1})
    server.workers()[0].kill()
    wait_until(lambda: server.metric("kakehashi_worker_restarts_total") == 1, "the restart is counted")
    server.wait_ready()
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert {"service.engine.worker_handle", "service.server"} <= {line["logger"] for line in lines(server)}


@contextmanager
def server_on_a_terminal(directory: Path, model: Path) -> Iterator[RunningServer]:
    """Its log is the output read from the terminal."""
    terminal, theirs = pty.openpty()
    environment = os.environ | {"KAKEHASHI_MODEL": str(model), "KAKEHASHI_PORT": str(port := free_port())}
    command = [sys.executable, "-m", "service.cli", "serve", "--workers", "1"]
    process = subprocess.Popen(command, cwd=directory, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    log_path = directory / "terminal"
    reader = Thread(target=read_terminal, args=(terminal, log_path))
    reader.start()
    server = RunningServer(process, port=port, log_path=log_path)
    try:
        server.wait_ready()
        yield server
    finally:
        server.client.close()
        server.terminate()
        reader.join()
        os.close(terminal)


def read_terminal(terminal: int, log_path: Path) -> None:
    """Until nobody writes to it any more."""
    with log_path.open("ab", buffering=0) as log, suppress(OSError):
        while shown := os.read(terminal, 1 << 16):
            log.write(shown)


def test_lines_are_readable_on_a_terminal(random_checkpoint: Path, tmp_path: Path) -> None:
    with server_on_a_terminal(tmp_path, random_checkpoint) as server:
        server.client.post("/v1/translations", json=BODY, headers={"X-Request-ID": "mine"})
        wait_until(lambda: "request_id=mine" in server.log, "the request is logged")
        (line,) = [line for line in server.log.splitlines() if "request_id=mine" in line]
    assert "INFO" in line
    assert f"{ACCESS}: request method=POST route=/v1/translations status=200 outcome=ok stream=false" in line
