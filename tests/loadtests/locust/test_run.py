"""Laws of `make load`, on real locust processes: its output files and its exit status."""

import csv
import os
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.support.server import RunningServer

ROOT = Path(__file__).parents[3]
TIME_LIMIT_SECONDS = 120.0
MAX_SIDE_BY_SIDE = 3
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


OPEN_ON_SILENCE = ("--shape", "open", "--class", "streaming", "--", "--rate", "40", "--stop-timeout", "1")
ONE_STREAM = ("--class", "streaming", "--shape", "closed", "--users", "1")
PATIENT = ("--", "--stop-timeout", "60")
"""A limit for a busy machine, where answers may take long but still arrive."""
CLASSES = {"plain": "plain", "streaming": "stream", "batch": "lists"}
"""The requests of each class, by its name in `make load`."""


@dataclass(frozen=True, slots=True)
class Run:
    """A load test that has ended."""

    report: Path
    status: int
    output: str


def run(report: Path, *flags: str, seconds: int = 1, settings: Mapping[str, str] | None = None) -> Run:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LOAD_", "LOCUST_"))}
    command = [sys.executable, "-m", "loadtests.locust.run", "--seconds", str(seconds), "--report", str(report), *flags]
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=environment | ANY_SPEED | dict(settings or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIME_LIMIT_SECONDS,
        check=False,
    )
    return Run(report, ended.returncode, ended.stdout)


@pytest.fixture(scope="module")
def runs(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, "Future[Run]"]]:
    """All load tests of this file, a few at a time: most of each is the start of its processes."""
    reports = tmp_path_factory.mktemp("reports")
    with (
        sending(None) as silence,
        ExitStack() as stack,
        ThreadPoolExecutor(MAX_SIDE_BY_SIDE) as pool,
    ):

        def submit(name: str, *flags: str, **options: Any) -> "Future[Run]":
            return pool.submit(run, reports / name, *flags, **options)

        runs = {
            "own server": submit("own-server", *PATIENT, "--steps", "2", "--step-users", "3", seconds=3),
            "missed": submit(
                "missed",
                *("--host", server.url, "--class", "streaming", "--shape", "closed", "--users", "1", *PATIENT),
                settings={"LOAD_MAX_FIRST_TOKEN_P95_MS": "0.001"},
            ),
            "refused": submit(
                "refused", "--host", f"{server.url}/elsewhere", "--class", "plain", "--", "--max-failed-percent", "99"
            ),
            "open": submit("open", "--host", server.url, "--shape", "open", *PATIENT, "--rate", "8"),
            "silence": submit("silence", "--host", silence, *OPEN_ON_SILENCE),
        }
        for name in CLASSES:
            flags = ("--class", name, "--shape", "closed", "--users", "1", *PATIENT)
            runs[name] = submit(name, "--host", server.url, *flags)
        for index, (reason, body) in enumerate(CUT.items()):
            url = stack.enter_context(sending(HEAD + body))
            runs[reason] = submit(f"cut-{index}", "--host", url, *ONE_STREAM)
        yield runs


def rows(report: Path, table: str) -> list[dict[str, str]]:
    with (report / f"stats_{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def requests_by_name(report: Path) -> dict[str, int]:
    return {row["Name"]: int(row["Request Count"]) for row in rows(report, "stats")}


def failures_by_reason(report: Path) -> dict[str, int]:
    return {row["Error"]: int(row["Occurrences"]) for row in rows(report, "failures")}


@contextmanager
def sending(answer: bytes | None) -> Iterator[str]:
    """The address of a server that sends these bytes to every client and hangs up, or, with None, sends nothing."""

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


def test_a_run_on_a_server_of_its_own_leaves_report_plot_and_tables(runs: dict[str, "Future[Run]"]):
    ended = runs["own server"].result()
    assert ended.status == 0, ended.output
    counts = Counter(requests_by_name(ended.report))
    parts = {"time to first token", "inter-token time"}
    assert counts.keys() <= {"plain", "stream", "lists", "Aggregated"} | parts
    assert counts["Aggregated"] == counts["plain"] + counts["stream"] + counts["lists"] > 0
    assert counts["time to first token"] == counts["stream"] <= counts["inter-token time"]
    assert (ended.report / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert "time to first token" in (ended.report / "report.html").read_text(encoding="utf-8")
    assert max(int(row["User Count"]) for row in rows(ended.report, "stats_history")) == 6


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_asks_in_its_own_way(runs: dict[str, "Future[Run]"], name: str):
    ended = runs[name].result()
    assert ended.status == 0, ended.output
    sent = requests_by_name(ended.report).keys() - {"time to first token", "inter-token time"}
    assert sent == {CLASSES[name], "Aggregated"}


def test_a_missed_threshold_is_named_and_makes_the_status_1(runs: dict[str, "Future[Run]"]):
    ended = runs["missed"].result()
    assert ended.status == 1
    assert "MISSED: time to first token, p95\n" in ended.output
    assert (ended.report / "plot.png").exists()


def test_a_refused_request_is_a_failure_with_its_status(runs: dict[str, "Future[Run]"]):
    ended = runs["refused"].result()
    assert ended.status == 1
    assert [reason[:11] for reason in failures_by_reason(ended.report)] == ["status 404:"]


def test_an_open_loop_sends_at_its_rate_whatever_is_unanswered(runs: dict[str, "Future[Run]"]):
    ended = runs["silence"].result()
    assert ended.status == 1
    counts = requests_by_name(ended.report)
    assert counts["sent late by"] == counts["stream"] > 10, "a closed loop would have sent one"
    assert failures_by_reason(ended.report) == {"no answer by the end of the test": counts["stream"]}


def test_an_open_loop_on_a_real_server_is_answered(runs: dict[str, "Future[Run]"]):
    ended = runs["open"].result()
    assert ended.status == 0, ended.output
    counts = requests_by_name(ended.report)
    assert counts["sent late by"] == counts["Aggregated"]


@pytest.mark.parametrize("reason", CUT)
def test_a_stream_without_done_is_a_failure(runs: dict[str, "Future[Run]"], reason: str):
    ended = runs[reason].result()
    assert ended.status == 1
    assert "MISSED: failed requests\n" in ended.output
    (failure,) = failures_by_reason(ended.report)
    assert failure == reason
    assert requests_by_name(ended.report).keys() == {"stream", "Aggregated"}, "its tokens are not counted"


def test_the_folder_is_enough_under_any_name(tmp_path: Path):
    folder = shutil.copytree(ROOT / "loadtests", tmp_path / "mounted")
    command = [sys.executable, "-P", "-m", "locust", "--locustfile", str(folder / "locust" / "locustfile.py"), "--list"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    listed = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert listed.stdout.split()[2:] == ["PlainUser", "StreamingUser", "BatchUser", "MixedUser"]
