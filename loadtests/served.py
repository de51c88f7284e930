"""A server of its own under closed-loop load: python -m loadtests.bench served [-- flags of kakehashi serve].

Each client sends its next request when it has its answer. Every combination of clients and kind of answer is run
`--rounds` times over the same sentences, in turns, and the table shows the median round.
"""

import argparse
import asyncio
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import httpx
from httpx_sse import aconnect_sse
from tqdm import tqdm

SOURCES = Path(__file__).parent.parent / "tests" / "data" / "sources.tsv"
START_SECONDS = 120
REQUEST_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Answer:
    """Seconds from the request to its first token (None where it was not streamed) and to its end."""

    num_tokens: int
    first_token_seconds: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Round:
    seconds: float
    answers: list[Answer]

    @property
    def tokens_per_second(self) -> float:
        return sum(answer.num_tokens for answer in self.answers) / self.seconds


async def ask(client: httpx.AsyncClient, body: dict[str, object], *, stream: bool) -> Answer:
    """Raises RuntimeError where a stream does not end with `done`."""
    began = time.perf_counter()
    if not stream:
        response = await client.post("/v1/translations", json=body)
        usage = response.raise_for_status().json()["usage"]
        return Answer(usage["generated_tokens"], None, time.perf_counter() - began)
    num_tokens, first = 0, None
    async with aconnect_sse(client, "POST", "/v1/translations", json={**body, "stream": True}) as source:
        async for event in source.aiter_sse():
            if event.event == "token":
                num_tokens += 1
                first = first or time.perf_counter() - began
    if event.event != "done":
        raise RuntimeError(f"the stream ended with {event.event}: {event.data}")
    return Answer(num_tokens, first, time.perf_counter() - began)


async def run_round(url: str, bodies: list[dict[str, object]], *, num_clients: int, stream: bool) -> Round:
    left = list(reversed(bodies))
    answers: list[Answer] = []
    limits = httpx.Limits(max_connections=num_clients)
    async with httpx.AsyncClient(base_url=url, timeout=REQUEST_SECONDS, limits=limits) as client:

        async def work() -> None:
            while left:
                answers.append(await ask(client, left.pop(), stream=stream))

        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for _ in range(num_clients):
                group.create_task(work())
        return Round(time.perf_counter() - began, answers)


def wait_ready(url: str, server: subprocess.Popen[bytes]) -> float:
    """Seconds from the process's start to ready."""
    began = time.perf_counter()
    while time.perf_counter() - began < START_SECONDS:
        if server.poll() is not None:
            raise SystemExit(f"the server ended with status {server.returncode}")
        try:
            if httpx.get(f"{url}/health/ready").status_code == 200:
                return time.perf_counter() - began
        except httpx.TransportError:
            pass
        time.sleep(0.02)
    raise SystemExit("the server did not get ready")


def make_bodies(num_requests: int) -> list[dict[str, object]]:
    """One short text a request, all five languages."""
    lines = [line.split("\t") for line in SOURCES.read_text(encoding="utf-8").splitlines()]
    return [
        {"text": text, "source_lang": source_lang, "target_lang": target_lang}
        for source_lang, target_lang, text in (lines[index % len(lines)] for index in range(num_requests))
    ]


def milliseconds(values: list[float]) -> str:
    """Median and 95th percentile."""
    if len(values) < 2:
        return "–"
    return f"{statistics.median(values) * 1000:.0f} / {statistics.quantiles(values, n=20)[-1] * 1000:.0f}"


def show(clients: int, stream: bool, rounds: list[Round]) -> str:
    middle = sorted(rounds, key=lambda each: each.tokens_per_second)[len(rounds) // 2]
    first = [each.first_token_seconds for each in middle.answers if each.first_token_seconds is not None]
    speeds = [each.tokens_per_second for each in rounds]
    return (
        f"| {clients} | {'stream' if stream else 'plain'} | {middle.tokens_per_second:.0f} "
        f"({min(speeds):.0f}–{max(speeds):.0f}) | {len(middle.answers) / middle.seconds:.0f} "
        f"| {milliseconds(first)} | {milliseconds([each.seconds for each in middle.answers])} |"
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--requests", type=int, default=250, help="requests in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("serve", nargs="*", metavar="-- FLAGS", help="flags of kakehashi serve")


def run(arguments: argparse.Namespace) -> None:
    bodies = make_bodies(arguments.requests)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "service.cli", "serve", "--log-level", "warning", "--port", str(port)]
    with subprocess.Popen([*command, *arguments.serve]) as server:
        try:
            ready_seconds = wait_ready(url, server)
            shapes = list(product(arguments.clients, (False, True)))
            rounds: dict[tuple[int, bool], list[Round]] = {shape: [] for shape in shapes}
            for _, shape in tqdm(list(product(range(arguments.rounds), shapes)), unit="round"):
                clients, stream = shape
                rounds[shape].append(asyncio.run(run_round(url, bodies, num_clients=clients, stream=stream)))
        finally:
            server.terminate()
    print(f"{platform.machine()}, {os.cpu_count()} cores; serve {' '.join(arguments.serve) or 'with defaults'}")
    print(f"from the process's start to ready: {ready_seconds:.1f} s")
    print("| clients | answers | tokens/s (least–most) | requests/s | first token p50 / p95 ms | whole p50 / p95 ms |")
    print("|---|---|---|---|---|---|")
    for (clients, stream), of_shape in rounds.items():
        print(show(clients, stream, of_shape))
