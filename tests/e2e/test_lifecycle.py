"""Start, drain, and the death of a process."""

import asyncio
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from loadtests.bench.loopback import HOST, free_port, wait_until
from loadtests.bench.server_process import has_ended
from tests.support.client import NO_STORE, deltas, is_whole, request_body, translate, translate_all
from tests.support.oracle import sentences
from tests.support.server import ONE_ROW, RunningServer, starting_server
from tests.support.server_guard import ServerGuard
from tests.support.server_starter import ServerStarter

BODY = request_body("Hello.", "en", "de")
NUM_CLIENTS = 10
SHORT_GRACE = {"GRACE_SECONDS": 2.5}
TO_BE_ENDED: dict[str, dict[str, object]] = {
    "by SIGTERM": {"WORKERS": 2},
    "by SIGINT": {"WORKERS": 2},
    "after a drain": {**ONE_ROW, "GRACE_SECONDS": 100},
    "at the end of its grace period": {"WORKERS": 2, **SHORT_GRACE},
    "while a client does not read": {**ONE_ROW, **SHORT_GRACE},
    "by a second signal": {"WORKERS": 1, "GRACE_SECONDS": 10_000},
    "by an orchestrator": {"WORKERS": 1, "OPERATION_PORT": free_port(), "MAX_SECONDS_WITHOUT_WORKER": 0.2},
}
"""Settings of the servers that a test each ends."""

Take = Callable[[str], RunningServer]


@pytest.fixture(scope="module")
def started(random_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, RunningServer]]:
    """Side by side, for that takes much less time than one after the other."""
    directory = tmp_path_factory.mktemp("to-be-ended")
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(starting_server(directory, {"MODEL": random_checkpoint, **settings}))
            for name, settings in TO_BE_ENDED.items()
        }


@pytest.fixture
def take(started: dict[str, RunningServer], guard: ServerGuard) -> Take:
    """One of them, ready."""

    def take(name: str) -> RunningServer:
        started[name].wait_ready()
        guard.watch(started[name])
        return started[name]

    return take


def is_live(server: RunningServer) -> bool:
    try:
        return server.client.get("/health/live").status_code == 200
    except httpx.TransportError:
        return False


def check_refused(answer: httpx.Response, slug: str) -> None:
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:kakehashi:problem:{slug}"
    assert int(answer.headers["retry-after"]) >= 1


def wait_ended(processes: list[psutil.Process]) -> None:
    wait_until(lambda: all(map(has_ended, processes)), "the processes end")


def start_draining(server: RunningServer) -> None:
    server.signal(signal.SIGTERM)
    wait_until(lambda: server.client.get("/health/ready").status_code == 503, "the server drains")


# Start.


def test_the_process_is_live_before_it_is_ready(start_server: ServerStarter, random_checkpoint: Path) -> None:
    server = start_server.starting({"MODEL": random_checkpoint, "WORKERS": 2})
    wait_until(server.fork_servers, "the process that loads the model and forks the workers has been started")
    (fork_server,) = server.fork_servers()
    fork_server.suspend()
    wait_until(lambda: is_live(server), "the process answers")
    check_refused(server.client.get("/health/ready"), "not-ready")
    for path, body in (("/v1/translations", BODY), ("/v1/translations", BODY | {"stream": True})):
        check_refused(server.client.post(path, json=body), "not-ready")
    check_refused(server.client.get("/v1/translations/stream", params=BODY), "not-ready")
    assert server.client.get("/v1/languages").status_code == 200
    fork_server.resume()
    start_server.wait_ready(server)
    assert server.client.post("/v1/translations", json=BODY).status_code == 200


def test_the_service_process_does_not_load_torch(server: RunningServer) -> None:
    server.translate("Hello.", "en", "de")
    assert "libtorch" not in Path(f"/proc/{server.process.pid}/maps").read_text()
    assert all("libtorch" in Path(f"/proc/{worker.pid}/maps").read_text() for worker in server.workers())


@pytest.mark.stops_servers
def test_a_start_whose_workers_die_again_and_again_ends_with_one_error(
    start_server: ServerStarter, random_checkpoint: Path
) -> None:
    server = start_server.starting({"MODEL": random_checkpoint, "WORKERS": 1, "LOG_FORMAT": "json"})
    while server.process.poll() is None:
        for fork_server in server.fork_servers():
            fork_server.kill()
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(0.05)
    assert server.process.returncode == 5
    (last,) = [line for line in server.log.splitlines() if "again and again" in line]
    assert "workers die again and again while they start: the fork server has ended" in last
    assert "Traceback" not in server.log


@pytest.mark.stops_servers  # its metrics are at another port
def test_a_server_without_a_worker_for_long_is_not_live_until_it_has_one(take: Take) -> None:
    server = take("by an orchestrator")
    assert is_live(server)
    (fork_server,) = server.fork_servers()
    fork_server.suspend()
    server.workers()[0].kill()
    wait_until(lambda: not is_live(server), "the server is not live")
    answer = server.client.get("/health/live")
    check_refused(answer, "not-ready")
    assert "no worker has been ready for" in answer.json()["detail"]
    fork_server.resume()
    server.wait_ready()
    assert is_live(server)


@pytest.mark.stops_servers
def test_metrics_and_documentation_are_at_the_port_for_operation_only(take: Take) -> None:
    server = take("by an orchestrator")
    other = f"http://{HOST}:{TO_BE_ENDED['by an orchestrator']['OPERATION_PORT']}"
    for path, here, there in (("/metrics", 404, 200), ("/docs", 404, 200), ("/v1/models", 200, 404)):
        assert [server.client.get(url + path).status_code for url in ("", other)] == [here, there]
    assert server.client.get(f"{other}/health/live").status_code == 200


# Drain.


@pytest.mark.stops_servers
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_ends_with_status_0_and_all_its_workers(take: Take, number: signal.Signals) -> None:
    server = take(f"by {number.name}")
    workers = server.workers()
    server.signal(number)
    assert server.wait_exit() == 0
    assert len(workers) == 2
    wait_ended(workers)
    assert "Traceback" not in server.log


@pytest.mark.stops_servers
def test_a_server_told_to_stop_while_starting_stops(start_server: ServerStarter, random_checkpoint: Path) -> None:
    server = start_server.starting({"MODEL": random_checkpoint, "WORKERS": 1})
    wait_until(lambda: is_live(server) and server.workers(), "the worker has been started")
    workers = server.workers()
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0
    wait_ended(workers)
    assert "Traceback" not in server.log


@pytest.mark.stops_servers
def test_a_drain_finishes_what_runs_and_refuses_and_counts_what_comes(take: Take) -> None:
    server = take("after a drain")
    texts = sentences("en", most=24)
    streamed, waiting = " ".join(texts[:12]), " ".join(texts[12:])
    expected = [server.text(text, "en", "de") for text in (streamed, waiting)]
    with ThreadPoolExecutor() as pool, server.open_stream(streamed, "en", "de") as stream:
        events = [next(stream), next(stream)]
        with server.frozen():
            plain = submit_plain(pool, server, waiting)
            start_draining(server)
            check_refused(server.client.get("/health/ready"), "draining")
            assert is_live(server)
            for body in (BODY, BODY | {"stream": True}):
                check_refused(server.client.post("/v1/translations", json=body), "draining")
            check_refused(server.client.get("/v1/translations/stream", params=BODY), "draining")
            assert server.metric("kakehashi_refused_total", reason="draining") == 3
        events += stream
        assert is_whole(events)
        assert [deltas(events), plain.result()] == expected
    assert server.wait_exit() == 0
    assert "finishing running requests, for at most 96 s" in server.log, "the last 4 are for closing"


def submit_plain(pool: ThreadPoolExecutor, server: RunningServer, text: str) -> "Future[str]":
    """A request on a frozen server, where it waits."""
    num_waiting = server.metric("kakehashi_requests_waiting")
    answer = pool.submit(server.text, text, "en", "de")
    wait_until(lambda: server.metric("kakehashi_requests_waiting") > num_waiting, "the request is admitted")
    return answer


@pytest.mark.stops_servers
def test_the_end_of_the_grace_period_is_an_error_event_and_a_problem(take: Take) -> None:
    server = take("at the end of its grace period")
    workers = server.workers()
    with server.frozen(), ThreadPoolExecutor() as pool, server.open_stream("Good morning.", "en", "de") as stream:
        plain = pool.submit(server.client.post, "/v1/translations", json=BODY)
        wait_until(lambda: server.metric("kakehashi_requests_waiting") == 2, "both are admitted")
        server.signal(signal.SIGTERM)
        events = list(stream)
        assert [event.name for event in events] == ["start", "error"]
        assert events[-1].data["status"] >= 500
        assert plain.result().status_code == events[-1].data["status"]
        assert plain.result().headers["content-type"] == "application/problem+json"
        assert server.wait_exit() == 0
        wait_ended(workers)


@pytest.mark.stops_servers
def test_a_client_that_never_reads_does_not_hold_up_the_end(take: Take, long_text: str) -> None:
    server = take("while a client does not read")
    with ExitStack() as stack:
        send_slowly(stack, server, long_text)
        send_slowly(stack, server, "\n" * 40_000)  # all of its events wait for the client at once
        send_slowly(stack, server, "Hello.", num_missing=10)
        wait_until(lambda: server.metric("kakehashi_generated_tokens_total"), "the first request is at work")
        server.signal(signal.SIGTERM)
        assert server.wait_exit() == 0
    assert "Traceback" not in server.log
    assert "running task" not in server.log


def send_slowly(stack: ExitStack, server: RunningServer, text: str, *, num_missing: int = 0) -> None:
    """Send a request, but for its last bytes, on a connection that reads nothing and stays open."""
    body = httpx.Request("POST", server.url, json=request_body(text, "en", ["de", "fr"], stream=True)).read()
    connection = stack.enter_context(socket.socket())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect((HOST, server.port))
    head = f"POST /v1/translations HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    sent = body[: len(body) - num_missing]
    connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + sent)


@pytest.mark.stops_servers
def test_a_second_signal_ends_at_once_what_the_first_let_finish(take: Take) -> None:
    server = take("by a second signal")
    workers = server.workers()
    with server.frozen(), server.open_stream("Hello.", "en", "de") as stream:
        assert next(stream).name == "start"
        start_draining(server)
        server.signal(signal.SIGTERM)
        assert [event.name for event in stream] == ["error"]
        assert server.wait_exit() == 4
    wait_ended(workers)


# Death.


async def test_the_death_of_a_worker_loses_no_request(start_server: ServerStarter, random_checkpoint: Path) -> None:
    settings = {"MODEL": random_checkpoint, "WORKERS": 2, "THREADS_PER_WORKER": 1, "MAX_ROWS": 2}
    server = start_server(settings)
    text = " ".join(sentences("en", most=24))
    # No two are equal, which would be decoded once: all together take long enough to be met at work.
    bodies = [request_body(text, "en", "de", stream=i % 2 == 0, max_new_tokens=40 + i) for i in range(NUM_CLIENTS)]
    async with server.async_client() as client:
        expected = [await translate(client, body) for body in bodies]
        with server.frozen():
            together = asyncio.create_task(translate_all(client, bodies))
            what = "all requests are admitted"
            await asyncio.to_thread(
                wait_until, lambda: server.metric("kakehashi_requests_waiting") > (NUM_CLIENTS - 1) * 24, what
            )
        await asyncio.to_thread(wait_both_running, server)
        victim = server.workers()[0]
        victim.kill()
        assert await together == expected
    await asyncio.to_thread(wait_until, lambda: num_restarts(server) == 1, "the restart is counted")
    await asyncio.to_thread(server.wait_idle)
    assert server.is_ready()
    assert victim.pid not in {worker.pid for worker in server.workers()}
    assert num_restarts(server) == 1


def wait_both_running(server: RunningServer) -> None:
    def are_running() -> bool:
        return all(server.metric("kakehashi_rows_running", worker=worker) > 0 for worker in "01")

    wait_until(are_running, "both workers are running")


def num_restarts(server: RunningServer) -> float:
    return server.metric("kakehashi_worker_restarts_total")


async def test_usage_after_a_replay_counts_every_source(small_server: RunningServer) -> None:
    server = small_server
    texts = sentences("en", most=6)
    async with server.async_client() as client:
        body = request_body(texts, "en", ["de", "fr"])
        expected = (await client.post("/v1/translations", json=body, headers=NO_STORE)).json()
        with server.frozen():
            pending = asyncio.create_task(client.post("/v1/translations", json=body, headers=NO_STORE))
            what = "the request is admitted"
            await asyncio.to_thread(wait_until, lambda: server.metric("kakehashi_requests_waiting") == 12, what)
            server.workers()[0].kill()
        answer = (await pending).json()
    assert answer["translations"] == expected["translations"]
    assert answer["usage"] == expected["usage"]


async def test_without_a_worker_new_requests_are_refused_and_then_served(small_server: RunningServer) -> None:
    server = small_server
    (fork_server,) = server.fork_servers()
    fork_server.suspend()  # else there is another worker before anybody has noticed
    server.workers()[0].kill()
    await asyncio.to_thread(wait_until, lambda: not server.is_ready(), "the death is noticed")
    check_refused(server.client.post("/v1/translations", json=BODY), "not-ready")
    fork_server.resume()
    await asyncio.to_thread(server.wait_ready)
    assert server.client.post("/v1/translations", json=BODY).status_code == 200


@pytest.mark.stops_servers
def test_no_worker_outlives_its_service_process(
    start_server: ServerStarter, random_checkpoint: Path, long_text: str
) -> None:
    settings = {"MODEL": random_checkpoint, "WORKERS": 2, "MAX_ROWS": 1}
    starting, busy = (start_server.starting(settings) for _ in range(2))
    wait_until(lambda: len(starting.workers()) == 2, "both workers have been started")
    check_workers_end_with(starting)
    start_server.wait_ready(busy)
    body: dict[str, Any] = request_body(long_text, "en", ["de", "fr"])
    with ThreadPoolExecutor() as pool:
        cut_off = pool.submit(busy.client.post, "/v1/translations", json=body)
        wait_both_running(busy)
        check_workers_end_with(busy)
        assert isinstance(cut_off.exception(), httpx.TransportError)


def check_workers_end_with(server: RunningServer) -> None:
    workers = server.workers()
    server.process.kill()
    assert server.wait_exit() == -signal.SIGKILL
    assert len(workers) == 2
    wait_ended(workers)
