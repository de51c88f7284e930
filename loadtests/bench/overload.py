"""A server with more work than it can do: python -m loadtests.bench overload [-- flags of kakehashi serve].

1. A closed loop of four times as many clients as the server has rows measures the capacity in requests a second.
2. Poisson arrivals at the capacity, and then at `--load` times the capacity, each with a deadline. Goodput counts the
   answers within it. Arrivals by chance leave rows free at times, so at the capacity it is lower than in the closed
   loop. For each refusal, Retry-After is compared with the time until everything that was accepted before it had been
   answered.
3. One client sends a single sentence every now and then, alone and while another one floods the server from many
   connections, or with one long text. Each has its own API key.

Every sentence is new to the server. The generator has a core of its own where there are two or more: it takes as much
from the server's cores as a third of a refusal, which clients elsewhere do not. `--shared` leaves it all cores.
"""

import argparse
import asyncio
import gc
import os
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from math import ceil

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
TICK_SECONDS = 0.002
"""Arrivals within this time are sent together: to wake up for each would take more from shared cores."""
MAX_SECONDS_APART = 1.0
"""Retry-After is in whole seconds, so a smaller difference is none."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The answers to arrivals over `seconds`, each with a deadline."""

    seconds: float
    deadline_seconds: float
    answers: list[Exchange]

    @property
    def goodput(self) -> float:
        """Answers within the deadline, a second."""
        num_good = sum(each.is_ok and _seconds(each) <= self.deadline_seconds for each in self.answers)
        return num_good / (max(each.ended_at for each in self.answers) - self.answers[0].sent_at)

    @property
    def refused(self) -> list[Exchange]:
        return [each for each in self.answers if each.status == 429]


@dataclass(frozen=True, slots=True)
class Overload:
    """`capacity` is in requests a second."""

    capacity: float
    at_capacity: Arrivals
    beyond: Arrivals


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--clients", type=int, default=64, help="clients of the closed loop, and connections of a flood"
    )
    parser.add_argument("--load", type=float, default=2.0, help="arrivals, as a multiple of the capacity")
    parser.add_argument("--seconds", type=float, default=10.0, help="duration of the closed loop and of the arrivals")
    parser.add_argument("--deadline", type=float, default=2.0, help="timeout_s of each arrival")
    parser.add_argument("--shared", action="store_true", help="let the generator use the server's cores, too")
    parser.add_argument("--quick", action="store_true", help="a second each: only checks that it works")
    parser.add_argument("serve", nargs="*", metavar="-- FLAGS", help="flags of kakehashi serve")


def run(arguments: argparse.Namespace) -> None:
    """Raises SystemExit if the server does not start."""
    seconds = 1.0 if arguments.quick else arguments.seconds
    machine = Machine.read()
    *of_server, of_generator = sorted(os.sched_getaffinity(0))
    if is_apart := bool(of_server) and not arguments.shared:
        os.sched_setaffinity(0, of_server)  # which the server inherits
    with running_server(["--api-keys", KEYS, *arguments.serve]) as server:
        if is_apart:
            os.sched_setaffinity(0, {of_generator})
        server.let_workers_yield()
        num_rows = int(server.metrics().sum("kakehashi_slots_free"))
        bench = Bench(server.port, num_busy=CLIENTS_PER_ROW * num_rows, num_flooding=arguments.clients)
        gc.disable()  # collections visit all answers so far, and would look like pauses of the server
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            overload = runner.run(bench.overload(arguments.load, seconds=seconds, deadline=arguments.deadline))
            floods = runner.run(bench.floods())
    cores = f"{len(of_server)} for the server and one for the generator" if is_apart else "shared"
    print(f"{machine}; cores: {cores}\n\n{overload_table(overload)}\n\n{flood_table(floods)}")


class Bench:
    def __init__(self, port: int, *, num_busy: int, num_flooding: int) -> None:
        """`num_busy` clients are enough to keep every row busy."""
        self._client = LeanClient(HOST, port, timeout_seconds=ANSWER_SECONDS)
        self._num_busy = num_busy
        self._num_flooding = num_flooding
        self._numbers = count(1)

    async def overload(self, load: float, *, seconds: float, deadline: float) -> Overload:
        await self._closed(seconds=1.0)
        capacity = await self._closed(seconds=seconds) / seconds
        at_capacity = await self._open(capacity, seconds=seconds, deadline=deadline)
        return Overload(capacity, at_capacity, await self._open(load * capacity, seconds=seconds, deadline=deadline))

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

    async def _open(self, rate: float, *, seconds: float, deadline: float) -> Arrivals:
        arrivals = poisson_arrivals(rate=rate, seconds=seconds, seed=1)
        requests = [_request(self._sentence(), timeout_s=deadline) for _ in arrivals]
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            asked: list[asyncio.Task[Exchange]] = []
            for due, request in zip(arrivals, requests, strict=True):
                tick = began + ceil(due / TICK_SECONDS) * TICK_SECONDS
                if (pause := tick - time.perf_counter()) > 0:
                    await asyncio.sleep(pause)
                asked.append(group.create_task(self._client.ask(request, stream=False)))
        return Arrivals(seconds, deadline, [each.result() for each in asked])

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

    async def _ask(self, text: str, *, api_key: str = "flood-key") -> Exchange:
        return await self._client.ask(_request(text, api_key=api_key), stream=False)

    def _sentence(self) -> str:
        return f"The old man went to the market and bought {next(self._numbers)} loaves of bread."

    def _long_text(self) -> str:
        return " ".join(self._sentence() for _ in range(LONG_TEXT_SENTENCES))


def _request(text: str, *, api_key: str = "flood-key", **fields: object) -> bytes:
    return http_request(TRANSLATE, {"text": text, "source_lang": "en", "target_lang": "de", **fields}, api_key=api_key)


def overload_table(overload: Overload) -> str:
    phases = (overload.at_capacity, overload.beyond)
    capacity, usual = overload.capacity, overload.at_capacity.goodput
    rows = [
        ["offered, requests/s", *(f"{len(each.answers) / each.seconds:.0f}" for each in phases)],
        ["goodput, requests/s", *(f"{each.goodput:.0f}" for each in phases)],
        ["goodput, % of the capacity", *(f"{100 * each.goodput / capacity:.0f}" for each in phases)],
        ["goodput, % of that at the capacity", *(f"{100 * each.goodput / usual:.0f}" for each in phases)],
        [f"accepted, p50 / p95 s of {overload.beyond.deadline_seconds:g}", *(_accepted(each) for each in phases)],
        ["refused with 429, %", *(f"{100 * len(each.refused) / len(each.answers):.0f}" for each in phases)],
        ["refusals, p50 / p95 ms", *(_percentiles(list(map(_seconds, each.refused)), 1000) for each in phases)],
        ["neither 200 nor 429", *(str(_num_others(each)) for each in phases)],
        ["Retry-After within a factor of two", *(_retry_after(each) for each in phases)],
    ]
    return markdown_table([f"capacity: {capacity:.0f} requests/s", "at the capacity", "overload"], rows)


def _accepted(arrivals: Arrivals) -> str:
    return _percentiles([_seconds(each) for each in arrivals.answers if each.status != 429], 1)


def _num_others(arrivals: Arrivals) -> int:
    return sum(not each.is_ok and each.status != 429 for each in arrivals.answers)


def _retry_after(arrivals: Arrivals) -> str:
    """Compare Retry-After with the time until all that was accepted before a refusal was answered."""
    accepted = [each for each in arrivals.answers if each.status == 200]
    num_right = 0
    for refusal in arrivals.refused:
        actual = max((each.ended_at for each in accepted if each.sent_at <= refusal.sent_at), default=refusal.ended_at)
        actual -= refusal.ended_at
        estimate = refusal.retry_after_seconds or 0
        num_right += abs(estimate - actual) < MAX_SECONDS_APART or actual / 2 <= estimate <= 2 * actual
    return f"{100 * num_right / len(arrivals.refused):.0f} %" if arrivals.refused else "–"


def flood_table(floods: dict[str, list[float]]) -> str:
    alone = statistics.median(floods["alone"])
    rows = [[name, _percentiles(each, 1000), f"{statistics.median(each) / alone:.1f}"] for name, each in floods.items()]
    return markdown_table(["a single sentence of another client", "p50 / p95 ms", "median over alone"], rows)


def _seconds(exchange: Exchange) -> float:
    return exchange.ended_at - exchange.sent_at


def _percentiles(seconds: list[float], factor: float) -> str:
    if not seconds:
        return "–"
    return " / ".join(f"{percentile(seconds, percent) * factor:.3g}" for percent in (50, 95))
