"""A server at 80 % of its capacity for long: python -m loadtests.reliability soak --minutes 30.

1. A closed loop measures the capacity. Then bursts take the memory of each process to its highest mark, which is that
   of the most requests at once, and stays.
2. An open loop sends that share of it, with Poisson arrivals. Every few seconds the memory of each process is read.
3. Equal bursts follow: what the run left behind in the memory that the first ones took and gave up, they need anew.
4. Afterwards the server is idle with as many descriptors as before, and at most 2 % more memory. During the run the
   memory of no process surely grows by more than 1 %, nor the p99 by more than a fifth: by two standard errors.

The p99 is that of each thirtieth of the requests, about a minute of thirty. It scatters with the load of the machine,
so two parts would differ by chance.

The standard errors take the measurements as independent; memory that moves in steps makes them too small.
"""

import argparse
import asyncio
import gc
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

import psutil

from loadtests.bench.arrivals import poisson_arrivals
from loadtests.bench.http_requests import TRANSLATE
from loadtests.bench.latency import RequestResult, percentile
from loadtests.bench.lean_client import LeanClient, http_request
from loadtests.bench.load import closed_loop, open_loop
from loadtests.bench.loopback import HOST
from loadtests.bench.machine import Machine
from loadtests.bench.server_process import ServerProcess
from loadtests.bench.source_lines import SOURCES, repeated_source_lines
from loadtests.reliability.trend import Trend
from loadtests.reliability.trial import broken_promises
from loadtests.reliability.vitals import MIB, Vitals, resident_bytes
from model.evaluation.markdown import markdown_table

SHARE = 0.8
NUM_CLIENTS = 32
NUM_BURSTS = 5
NUM_AT_ONCE = 1000
"""The clients of a burst: about as many as the server admits, so that no standstill of the machine brings more together
later."""
REQUEST_SECONDS = 120.0
NUM_PARTS = 30
"""The parts of the run whose p99 make the trend."""
NUM_ENDS = 6
"""The first and the last of these parts are reported, too."""
MAX_P99_GROWTH = 0.2
MAX_GROWTH_SHARE = 0.01
MAX_GROWTH_OF_BURSTS = 1.02
"""The ratio of the memory after the last bursts to that after the first."""
HOUR_SECONDS = 3600
NUM_SAMPLES = 200
SETTINGS = {"CACHE_BYTES": 0, "LOG_LEVEL": "warning"}


@dataclass(slots=True)
class MemoryCurve:
    name: str
    seconds: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)


@dataclass(slots=True)
class SoakReport:
    minutes: float
    capacity: float
    """Requests a second."""
    answers: list[RequestResult]
    curves: list[MemoryCurve]
    before: Vitals
    after: Vitals

    @property
    def p99_trend(self) -> Trend:
        """In seconds, over the run."""
        parts = self._parts(NUM_PARTS)
        return Trend.of([(index + 0.5) / len(parts) for index in range(len(parts))], list(map(_p99, parts)))

    def _parts(self, count: int) -> list[list[RequestResult]]:
        """The answers in `count` parts of the run."""
        size = -(-len(self.answers) // count)
        return [self.answers[begin : begin + size] for begin in range(0, len(self.answers), size)]

    @property
    def faults(self) -> list[str]:
        failed = sum(not answer.is_ok for answer in self.answers)
        found = [f"{failed} requests failed"] if failed else []
        if (slowdown := self.p99_trend.sure_growth(1)) > MAX_P99_GROWTH:
            found.append(f"the p99 grew by {slowdown:.0%}")
        if self.after.num_descriptors > self.before.num_descriptors:
            found.append(f"{self.after.num_descriptors - self.before.num_descriptors} descriptors were left behind")
        found += self.after.growth_faults(self.before, max_growth=MAX_GROWTH_OF_BURSTS)
        for curve in self.curves:
            growth = Trend.of(curve.seconds, curve.sizes).sure_growth(self.minutes * 60)
            if growth > MAX_GROWTH_SHARE:
                found.append(f"{curve.name} grew by {growth:.1%}")
        return found

    def __str__(self) -> str:
        p99 = self.p99_trend
        first, *_, last = self._parts(NUM_ENDS)
        return "\n\n".join(
            [
                f"{self.minutes:g} min at {SHARE:.0%} of {self.capacity:.0f} requests/s; {Machine.read()}",
                f"{len(self.answers)} requests, p99 {p99.level * 1000:.0f} ms; over the run it changed by "
                f"{p99.slope * 1000:+.0f} ms, with a standard error of {p99.error * 1000:.0f} ms. "
                f"It was {_p99(first) * 1000:.0f} ms in the first sixth and {_p99(last) * 1000:.0f} ms in the last.",
                markdown_table(
                    ["process", "MiB at first, half-way and at last", "slope, MiB/h", "its standard error"],
                    [_row(curve) for curve in self.curves],
                ),
                f"Before: {self.before}.\n\nAfter: {self.after}.",
                broken_promises(self.faults),
            ]
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--capacity-seconds", type=float, default=30.0, help="duration of the measurement before it")
    parser.add_argument("--seed", type=int, default=1, help="seed of the arrivals")


def run(arguments: argparse.Namespace) -> SoakReport:
    gc.disable()  # collections visit all answers so far, and would look like pauses of the server
    return run_soak(minutes=arguments.minutes, capacity_seconds=arguments.capacity_seconds, seed=arguments.seed)


def run_soak(*, minutes: float, capacity_seconds: float, seed: int) -> SoakReport:
    requests = [http_request(TRANSLATE, line.body(stream=False)) for line in repeated_source_lines(SOURCES, 250)]
    with TemporaryDirectory(prefix="soak-") as name, ServerProcess.start(Path(name), SETTINGS) as server:
        server.wait_ready()
        capacity = asyncio.run(_measure_capacity(server.port, requests, capacity_seconds))
        server.wait_idle()
        _burst(server, requests)
        before = Vitals.read(server)
        sampler = _Sampler(server.processes(), every_seconds=minutes * 60 / NUM_SAMPLES)
        sampler.start()
        arrivals = poisson_arrivals(rate=SHARE * capacity, seconds=minutes * 60, seed=seed)
        answers = asyncio.run(_hold(server.port, requests, arrivals))
        curves = sampler.stop()
        _burst(server, requests)
        return SoakReport(minutes, capacity, answers, curves, before, Vitals.read(server))


class _Sampler:
    """Reads the memory of the processes in a thread."""

    def __init__(self, processes: Sequence[psutil.Process], *, every_seconds: float) -> None:
        self._every_seconds = every_seconds
        self._curves = {
            process: MemoryCurve("service process" if index == 0 else f"process {index}")
            for index, process in enumerate(processes)
        }
        self._is_over = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> list[MemoryCurve]:
        self._is_over.set()
        self._thread.join()
        return list(self._curves.values())

    def _run(self) -> None:
        while not self._is_over.wait(self._every_seconds):
            for process, curve in self._curves.items():
                curve.seconds.append(time.monotonic())
                curve.sizes.append(resident_bytes(process))


async def _measure_capacity(port: int, requests: Sequence[bytes], seconds: float) -> float:
    """Rounds over all requests for this time. Returns the requests a second of the median round."""
    client = LeanClient(HOST, port, timeout_seconds=REQUEST_SECONDS)
    began = time.monotonic()
    rates: list[float] = []
    while not rates or time.monotonic() - began < seconds:
        load = await closed_loop(client, requests, num_clients=NUM_CLIENTS, stream=False)
        rates.append(len(load.answers) / load.seconds)
    client.close()
    return statistics.median(rates)


def _burst(server: ServerProcess, requests: Sequence[bytes]) -> None:
    """Send NUM_BURSTS times NUM_AT_ONCE requests, and wait until the server is idle."""

    async def send() -> None:
        client = LeanClient(HOST, server.port, timeout_seconds=REQUEST_SECONDS)
        for _ in range(NUM_BURSTS):
            together = list(islice(cycle(requests), NUM_AT_ONCE))
            await closed_loop(client, together, num_clients=NUM_AT_ONCE, stream=False)
            client.close()

    asyncio.run(send())
    server.wait_idle()


async def _hold(port: int, requests: Sequence[bytes], arrivals: Sequence[float]) -> list[RequestResult]:
    client = LeanClient(HOST, port, timeout_seconds=REQUEST_SECONDS)
    load = await open_loop(client, requests, arrivals, stream=False)
    client.close()
    return load.answers


def _p99(answers: Sequence[RequestResult]) -> float:
    return percentile([answer.seconds for answer in answers if answer.is_ok], 99)


def _row(curve: MemoryCurve) -> list[str]:
    trend = Trend.of(curve.seconds, curve.sizes)
    hourly = HOUR_SECONDS / MIB
    sizes = [curve.sizes[index] for index in (0, len(curve.sizes) // 2, -1)]
    return [
        curve.name,
        " / ".join(f"{size / MIB:.1f}" for size in sizes),
        f"{trend.slope * hourly:.2f}",
        f"{trend.error * hourly:.2f}",
    ]
