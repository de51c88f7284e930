"""A server with more work than it can do: python -m loadtests.bench overload [-- flags of kakehashi serve].

1. A closed loop of four times as many clients as the server has rows measures the capacity in requests a second.
2. Poisson arrivals at `--load` times the capacity, each with a deadline. Goodput counts the answers within it. For each
   refusal, Retry-After is compared with the time until everything that was accepted before it had been answered.
3. One client sends a single sentence every now and then, alone and while another one floods the server from many
   connections, or with one long text. Each has its own API key.

Every sentence is new to the server.
"""

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

import uvloop

from loadtests.bench.arrivals import poisson_arrivals
from loadtests.bench.http_requests import TRANSLATE
from loadtests.bench.latency import percentile
from loadtests.bench.lean_client import Exchange, LeanClient, http_request
from loadtests.bench.loopback import HOST
from loadtests.bench.machine import Machine
from loadtests.bench.running_server import running_server
from model.evaluation.markdown import markdown_table

KEYS = "flood:flood-key,single:single-key"
ANSWER_SECONDS = 60.0
CLIENTS_PER_ROW = 4
NUM_SINGLES = 60
PAUSE_SECONDS = 0.02
LONG_TEXT_SENTENCES = 600
MAX_SECONDS_APART = 1.0
"""Retry-After is in whole seconds, so a smaller difference is none."""


@dataclass(frozen=True, slots=True)
class Overload:
    """Answers to arrivals over `seconds`, and the capacity in requests a second."""

    capacity: float
    seconds: float
    deadline_seconds: float
    answers: list[Exchange]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clients", type=int, default=64, help="clients of the closed loop, and connections of a flood"
    )
    parser.add_argument("--load", type=float, default=2.0, help="arrivals, as a multiple of the capacity")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of the closed loop and of the arrivals")
    parser.add_argument("--deadline", type=float, default=2.0, help="timeout_s of each arrival")
    parser.add_argument("--quick", action="store_true", help="a second each: only checks that it works")
    parser.add_argument("serve", nargs="*", metavar="-- FLAGS", help="flags of kakehashi serve")


def run(arguments: argparse.Namespace) -> None:
    """Raises SystemExit if the server does not start."""
    seconds = 1.0 if arguments.quick else arguments.seconds
    with running_server(["--api-keys", KEYS, *arguments.serve]) as server:
        server.let_workers_yield()
        num_rows = int(server.metrics().sum("kakehashi_slots_free"))
        bench = Bench(server.port, num_busy=CLIENTS_PER_ROW * num_rows, num_flooding=arguments.clients)
        gc.disable()  # collections visit all answers so far, and would look like pauses of the server
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            overload = runner.run(bench.overload(arguments.load, seconds=seconds, deadline=arguments.deadline))
            floods = runner.run(bench.floods())
    print(f"{Machine.read()}\n\n{overload_table(overload)}\n\n{flood_table(floods)}")


class Bench:
    def __init__(self, port: int, *, num_busy: int, num_flooding: int) -> None:
        """`num_busy` clients are enough to keep every row busy."""
        self._client = LeanClient(HOST, port, timeout_seconds=ANSWER_SECONDS)
        self._num_busy = num_busy
        self._num_flooding = num_flooding
        self._numbers = count(1)

    async def overload(self, load: float, *, seconds: float, deadline: float) -> Overload:
        await self._closed(seconds=1.0)
        num_done = await self._closed(seconds=seconds)
        capacity = num_done / seconds
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            asked: list[asyncio.Task[Exchange]] = []
            for due in poisson_arrivals(rate=load * capacity, seconds=seconds, seed=1):
                await asyncio.sleep(began + due - time.perf_counter())
                asked.append(group.create_task(self._ask(self._sentence(), timeout_s=deadline)))
        return Overload(capacity, seconds, deadline, [each.result() for each in asked])

    async def floods(self) -> dict[str, list[float]]:
        """The seconds that each single sentence took, by what went on meanwhile."""
        seconds = {"alone": await self._singles()}
        async with self._flooded(self._sentence, num_connections=self._num_flooding):
            seconds[f"flood of {self._num_flooding} connections"] = await self._singles()
        async with self._flooded(self._long_text, num_connections=1):
            seconds[f"one text of {LONG_TEXT_SENTENCES} sentences after the other"] = await self._singles()
        return seconds

    async def _closed(self, *, seconds: float) -> int:
        """The number of requests answered."""
        num_done = 0
        until = time.perf_counter() + seconds

        async def work() -> None:
            nonlocal num_done
            while time.perf_counter() < until:
                exchange = await self._ask(self._sentence())
                num_done += exchange.is_ok and exchange.ended_at <= until

        async with asyncio.TaskGroup() as group:
            for _ in range(self._num_busy):
                group.create_task(work())
        return num_done

    async def _singles(self) -> list[float]:
        seconds = []
        for _ in range(NUM_SINGLES):
            await asyncio.sleep(PAUSE_SECONDS)
            exchange = await self._ask(self._sentence(), api_key="single-key")
            seconds.append(exchange.ended_at - exchange.sent_at if exchange.is_ok else ANSWER_SECONDS)
        return seconds

    @asynccontextmanager
    async def _flooded(self, make_text: Callable[[], str], *, num_connections: int) -> AsyncIterator[None]:
        async def work() -> None:
            while True:
                await self._ask(make_text())

        tasks = [asyncio.create_task(work()) for _ in range(num_connections)]
        await asyncio.sleep(1.0)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(1.0)

    async def _ask(self, text: str, *, api_key: str = "flood-key", **fields: object) -> Exchange:
        body = {"text": text, "source_lang": "en", "target_lang": "de", **fields}
        return await self._client.ask(http_request(TRANSLATE, body, api_key=api_key), stream=False)

    def _sentence(self) -> str:
        return f"The old man went to the market and bought {next(self._numbers)} loaves of bread."

    def _long_text(self) -> str:
        return " ".join(self._sentence() for _ in range(LONG_TEXT_SENTENCES))


def overload_table(overload: Overload) -> str:
    answers = overload.answers
    good = [each for each in answers if each.is_ok and _seconds(each) <= overload.deadline_seconds]
    accepted = [_seconds(each) for each in answers if each.status != 429]
    refused = [each for each in answers if each.status == 429]
    goodput = len(good) / (max(each.ended_at for each in answers) - answers[0].sent_at)
    rows = [
        ["capacity, requests/s", f"{overload.capacity:.0f}"],
        ["offered, requests/s", f"{len(answers) / overload.seconds:.0f}"],
        ["goodput, requests/s", f"{goodput:.0f}, {100 * goodput / overload.capacity:.0f} % of the capacity"],
        [f"accepted, p50 / p95 s of {overload.deadline_seconds:g}", _percentiles(accepted, 1)],
        ["refused with 429", f"{len(refused)} of {len(answers)}"],
        ["refusals, p50 / p95 ms", _percentiles([_seconds(each) for each in refused], 1000)],
        ["neither 200 nor 429", str(len(answers) - len(refused) - sum(each.is_ok for each in answers))],
        ["Retry-After within a factor of two", _retry_after(answers, refused)],
    ]
    return markdown_table(["overload", ""], rows)


def _retry_after(answers: list[Exchange], refused: list[Exchange]) -> str:
    """Compare Retry-After with the time until all that was accepted before a refusal was answered."""
    accepted = [each for each in answers if each.status == 200]
    num_right = 0
    for refusal in refused:
        actual = max((each.ended_at for each in accepted if each.sent_at <= refusal.sent_at), default=refusal.ended_at)
        actual -= refusal.ended_at
        estimate = refusal.retry_after_seconds or 0
        num_right += abs(estimate - actual) < MAX_SECONDS_APART or actual / 2 <= estimate <= 2 * actual
    return f"{100 * num_right / len(refused):.0f} %" if refused else "–"


def flood_table(floods: dict[str, list[float]]) -> str:
    alone = statistics.median(floods["alone"])
    rows = [[name, _percentiles(each, 1000), f"{statistics.median(each) / alone:.1f}"] for name, each in floods.items()]
    return markdown_table(["a single sentence of another client", "p50 / p95 ms", "median over alone"], rows)


def _seconds(exchange: Exchange) -> float:
    return exchange.ended_at - exchange.sent_at


def _percentiles(seconds: list[float], factor: float) -> str:
    return " / ".join(f"{percentile(seconds, percent) * factor:.3g}" for percent in (50, 95))
