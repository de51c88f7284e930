"""Clients of all kinds while processes die: python -m loadtests.reliability chaos.

1. A server with two workers and a Redis of its own translates for all clients for a while: a calm, after which its
   memory and the time of a request alone are measured.
2. The same clients go on while workers are killed and stopped, the fork server is killed, and Redis is killed, stalled
   and filled, in a seeded order.
3. When the clients have their answers and the server is idle again, each request has exactly one outcome, the same for
   its client, in the log and in the metrics, and the measurements are those of the calm.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from loadtests.bench.event_loop_watch import watched_event_loop
from loadtests.bench.loopback import wait_until
from loadtests.bench.machine import Machine
from loadtests.bench.redis_server import running_redis
from loadtests.bench.server_process import ServerProcess
from loadtests.bench.source_lines import read_sources
from loadtests.reliability.clients import CLIENTS, GoodRequest, Scene, act
from loadtests.reliability.journal import OUTCOMES, Journal, count_outcomes, read_log
from loadtests.reliability.sabotage import Saboteur
from loadtests.reliability.trial import Condition, Tolerance, broken_promises, standstill_faults, translate_alone
from model.evaluation.markdown import markdown_table

NUM_CLIENTS = 64
NUM_GOOD = 24
SETTLE_SECONDS = 10.0
SETTINGS = {
    "WORKERS": 2,
    "THREADS_PER_WORKER": 1,
    "CACHE_BYTES": 1 << 20,
    "REDIS_MIN_TOKENS": 1,
    "WORKER_TIMEOUT_SECONDS": 2,
    "STALL_SECONDS": 2,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ChaosPlan:
    seconds: float
    calm_seconds: float
    pause_seconds: float
    """The mean time between two faults."""
    seed: int
    tolerance: Tolerance


@dataclass(slots=True)
class ChaosReport:
    plan: ChaosPlan
    before: Condition
    done: Counter[str] = field(default_factory=Counter)
    acts: Counter[str] = field(default_factory=Counter)
    certain: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    num_restarts: int = 0
    recovery_seconds: float = 0.0
    standstill_seconds: float = 0.0
    after: Condition | None = None
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rows = [[each, str(self.certain[each]), str(self.counted[each])] for each in OUTCOMES]
        return "\n\n".join(
            [
                f"{self.plan.seconds:g} s, seed {self.plan.seed}, {NUM_CLIENTS} clients; {Machine.read()}",
                f"Faults of the machine: {_listed(self.done)}; workers started again: {self.num_restarts}.",
                f"Acts of clients: {_listed(self.acts)}.",
                markdown_table(["outcome", "known to its client", "log and metrics"], rows),
                f"Ready and idle again after {self.recovery_seconds:.1f} s. "
                f"Longest standstill of the event loop: {self.standstill_seconds * 1000:.0f} ms.",
                f"Before: {self.before}.\n\nAfter: {self.after}.",
                broken_promises(self.faults),
            ]
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=180.0, help="duration of the faults")
    parser.add_argument("--calm-seconds", type=float, default=20.0, help="duration of the calm before them")
    parser.add_argument("--pause-seconds", type=float, default=3.0, help="mean time between two faults")
    parser.add_argument("--seed", type=int, default=1)


def run(arguments: argparse.Namespace) -> ChaosReport:
    plan = ChaosPlan(
        seconds=arguments.seconds,
        calm_seconds=arguments.calm_seconds,
        pause_seconds=arguments.pause_seconds,
        seed=arguments.seed,
        tolerance=Tolerance(),
    )
    return run_chaos(plan)


def run_chaos(plan: ChaosPlan) -> ChaosReport:
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="chaos-")))
        redis = stack.enter_context(running_redis())
        server = stack.enter_context(ServerProcess.start(directory, SETTINGS | {"REDIS_URL": redis.url}))
        server.wait_ready()
        journal = Journal("chaos")
        good = _good_requests(server, journal)
        acts: Counter[str] = Counter()
        asyncio.run(
            _clients_act(Scene(server.port, good, journal), acts, plan.calm_seconds, Random(f"{plan.seed} calm"))
        )
        num_rounds = plan.tolerance.num_rounds
        report = ChaosReport(plan, Condition.read(server, num_rounds=num_rounds), acts=acts)
        saboteur = Saboteur(server, redis, Random(f"{plan.seed} faults"), done=report.done)
        with watched_event_loop(server.port, pid=server.process.pid) as watch:
            asyncio.run(_storm(Scene(server.port, good, journal), saboteur, report))
            with _timed(report):
                server.wait_ready()
                report.after = Condition.read(server, num_rounds=num_rounds)
        report.standstill_seconds = watch.longest_seconds
        _settle(server, journal, report)
        return report


async def _storm(scene: Scene, saboteur: Saboteur, report: ChaosReport) -> None:
    plan = report.plan
    async with asyncio.TaskGroup() as group:
        group.create_task(_clients_act(scene, report.acts, plan.seconds, Random(f"{plan.seed} storm")))
        await saboteur.work(seconds=plan.seconds, pause_seconds=plan.pause_seconds)
    saboteur.resume()


async def _clients_act(scene: Scene, acts: Counter[str], seconds: float, random: Random) -> None:
    """Every client does what its kind does again and again, and is done when its last request is."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds

    async def live(kind: str, own: Random) -> None:
        while loop.time() < until:
            await act(scene, CLIENTS[kind], own)
            acts[kind] += 1

    async with asyncio.TaskGroup() as group:
        for _, kind in zip(range(NUM_CLIENTS), cycle(CLIENTS), strict=False):
            group.create_task(live(kind, Random(random.random())))
        await asyncio.sleep(seconds)
        scene.is_over = True


def _settle(server: ServerProcess, journal: Journal, report: ChaosReport) -> None:
    """Compare the accounts once the log has a line for every request."""
    try:
        wait_until(
            lambda: journal.is_complete(read_log(server.log_path)),
            "every request is in the log",
            limit_seconds=SETTLE_SECONDS,
        )
    except TimeoutError as error:
        report.faults.append(str(error))
    page = server.metrics()
    report.certain, report.counted = journal.certain(), count_outcomes(page)
    report.num_restarts = int(page.sum("kakehashi_worker_restarts_total"))
    if num_dropped := page.sum("kakehashi_log_lines_dropped_total"):
        report.faults.append(f"the log lacks {num_dropped:.0f} lines")
    report.faults += journal.faults + journal.disagreements(read_log(server.log_path), page)
    report.faults += standstill_faults(report.standstill_seconds, report.plan.tolerance)
    if report.after is not None:
        report.faults += report.after.faults_since(report.before, report.plan.tolerance)


def _good_requests(server: ServerProcess, journal: Journal) -> list[GoodRequest]:
    """Sentences with their translations, made one at a time on the server at rest."""
    lines = [line for line in read_sources() if line.source_lang == "en" and line.target_lang != "ja"]
    return [_with_expected(server, journal, line.body(stream=False)) for line in lines[:NUM_GOOD]]


def _with_expected(server: ServerProcess, journal: Journal, body: dict[str, object]) -> GoodRequest:
    request_id = journal.new_id()
    translated = translate_alone(server, body, {"X-Request-ID": request_id})
    journal.saw(request_id, "ok")
    return GoodRequest(body, translated)


@contextmanager
def _timed(report: ChaosReport) -> Iterator[None]:
    began = time.monotonic()
    yield
    report.recovery_seconds = time.monotonic() - began


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
