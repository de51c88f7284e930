"""Laws of `make load`, on real locust processes: what it leaves behind, and with which status it ends."""

import csv
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from tests.support.server import RunningServer, running_server

ROOT = Path(__file__).parents[3]
TIME_LIMIT_SECONDS = 120.0
SECONDS = 2
ANY_SPEED = {
    "LOAD_MAX_PLAIN_P95_MS": "1e6",
    "LOAD_MAX_FIRST_TOKEN_P95_MS": "1e6",
    "LOAD_MAX_TOKEN_P95_MS": "1e6",
    "LOAD_MIN_REQUESTS_PER_SECOND": "0",
}
"""How fast the machine is that the tests run on is no law."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
TOKEN = b'event: token\ndata: {"text":"a"}\n\n'
CUT = {
    "a stream without done": b"%x\r\n%b\r\n0\r\n\r\n" % (len(TOKEN), TOKEN),
    "a stream without done: the connection was cut off": b"%x\r\n%b" % (len(TOKEN), TOKEN),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server"), {"MAX_TEXTS": 8}) as server:
        yield server


def run(report: Path, *flags: str, settings: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LOAD_", "LOCUST_"))}
    command = [sys.executable, "-m", "loadtests.locust.run", "--seconds", str(SECONDS), "--report", str(report), *flags]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment | ANY_SPEED | dict(settings or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIME_LIMIT_SECONDS,
        check=False,
    )


def rows(report: Path, table: str) -> list[dict[str, str]]:
    with (report / f"stats_{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def requests_by_name(report: Path) -> dict[str, int]:
    return {row["Name"]: int(row["Request Count"]) for row in rows(report, "stats")}


def failures_by_reason(report: Path) -> dict[str, int]:
    return {row["Error"]: int(row["Occurrences"]) for row in rows(report, "failures")}


@contextmanager
def sending(answer: bytes | None) -> Iterator[str]:
    """The address of a server that sends these bytes to everybody and hangs up, or with None says nothing."""

    def serve(listener: socket.socket, kept: list[socket.socket]) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:  # it was shut down
                return
            if answer is None:
                kept.append(connection)
                continue
            with connection:
                connection.recv(1 << 16)
                connection.sendall(answer)

    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=serve, args=(listener, kept))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in kept:
        connection.close()


def test_a_run_on_a_server_of_its_own_leaves_report_plot_and_tables(tmp_path: Path):
    ended = run(tmp_path, "--", "--steps", "2", "--step-users", "3")
    assert ended.returncode == 0, ended.stdout
    counts = requests_by_name(tmp_path)
    parts = {"time to first token", "inter-token time"}
    assert counts.keys() == {"plain", "stream", "lists", "Aggregated"} | parts
    assert counts["Aggregated"] == counts["plain"] + counts["stream"] + counts["lists"]
    assert counts["time to first token"] == counts["stream"] < counts["inter-token time"]
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "time to first token" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert max(int(row["User Count"]) for row in rows(tmp_path, "stats_history")) == 6


@pytest.mark.parametrize(("users", "name"), [("plain", "plain"), ("streaming", "stream"), ("batch", "lists")])
def test_each_class_asks_in_its_own_way(server: RunningServer, tmp_path: Path, users: str, name: str):
    ended = run(tmp_path, "--host", server.url, "--class", users, "--shape", "closed", "--users", "2")
    assert ended.returncode == 0, ended.stdout
    assert requests_by_name(tmp_path).keys() - {"time to first token", "inter-token time"} == {name, "Aggregated"}


def test_a_missed_threshold_is_named_and_makes_the_status_1(server: RunningServer, tmp_path: Path):
    ended = run(tmp_path, "--host", server.url, settings={"LOAD_MAX_FIRST_TOKEN_P95_MS": "0.001"})
    assert ended.returncode == 1
    assert "MISSED: time to first token, p95\n" in ended.stdout
    assert (tmp_path / "plot.png").exists()


def test_a_refused_request_is_a_failure_with_its_status(server: RunningServer, tmp_path: Path):
    ended = run(tmp_path, "--host", f"{server.url}/elsewhere", "--class", "plain", "--", "--max-failed-percent", "99")
    assert ended.returncode == 1
    assert [reason[:11] for reason in failures_by_reason(tmp_path)] == ["status 404:"]


def test_an_open_loop_sends_at_its_rate_whatever_is_unanswered(tmp_path: Path):
    flags = ("--shape", "open", "--class", "streaming", "--", "--rate", "40", "--stop-timeout", "1")
    with sending(None) as url:
        ended = run(tmp_path, "--host", url, *flags)
    assert ended.returncode == 1
    counts = requests_by_name(tmp_path)
    assert counts["sent late by"] == counts["stream"] > 10, "a closed loop would have sent one"
    assert failures_by_reason(tmp_path) == {"no answer by the end of the test": counts["stream"]}


def test_an_open_loop_on_a_real_server_is_answered(server: RunningServer, tmp_path: Path):
    ended = run(tmp_path, "--host", server.url, "--shape", "open")
    assert ended.returncode == 0, ended.stdout
    counts = requests_by_name(tmp_path)
    assert counts["sent late by"] == counts["Aggregated"]


def test_the_folder_is_enough_under_any_name(tmp_path: Path):
    folder = shutil.copytree(ROOT / "loadtests", tmp_path / "mounted")
    command = [sys.executable, "-P", "-m", "locust", "--locustfile", str(folder / "locust" / "locustfile.py"), "--list"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    listed = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert listed.stdout.split()[2:] == ["PlainUser", "StreamingUser", "BatchUser", "MixedUser"]


@pytest.mark.parametrize("reason", CUT)
def test_a_stream_without_done_is_a_failure(tmp_path: Path, reason: str):
    with sending(HEAD + CUT[reason]) as url:
        ended = run(tmp_path, "--host", url, "--class", "streaming", "--shape", "closed", "--users", "1")
    assert ended.returncode == 1
    assert "MISSED: failed requests\n" in ended.stdout
    (failure,) = failures_by_reason(tmp_path)
    assert failure == reason
    assert requests_by_name(tmp_path).keys() == {"stream", "Aggregated"}, "its tokens are not counted"
