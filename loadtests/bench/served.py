"""A server under load: python -m loadtests.bench served [-- flags of kakehashi serve].

1. Closed loop: 1, 16 and 64 clients send their next request when they have an answer. Plain answers and streams take
   turns, `--rounds` times over the same sentences. The median round with the most clients is the capacity.
2. Open loop: Poisson arrivals at a share of that capacity. Latency counts from the time at which a request was due.
3. The server stops, and as many processes as it had workers decode the same sentences without it.

Sentences repeat every round, so the server's encoder cache is off (`--cache-bytes 0`; flags after `--` win), and equal
requests are never in flight together, because the server would decode them as one.
"""

import argparse
import shlex
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

from tqdm import tqdm

from loadtests.bench.arrivals import poisson_arrivals
from loadtests.bench.generator import KINDS, Generator, Measured
from loadtests.bench.latency import LatencyGoals, summarize
from loadtests.bench.machine import Machine
from loadtests.bench.offline_reference import OfflineRound, measure_offline
from loadtests.bench.running_server import BenchServer, ProcessMemory, ServedCheckpoint, running_server
from loadtests.bench.served_report import LoadCell, load_table, memory_table, offline_table
from loadtests.bench.source_lines import SOURCES, SourceLine, repeated_source_lines

NO_CACHE = ("--cache-bytes", "0")
NUM_LARGE_TOKENS = 24
QUICK_REQUESTS = 64
QUICK_SECONDS = 1.5
LEGEND = """\
Times are p50 / p95 / p99 in ms, counted from the time at which a request was due; tokens that arrive in one read are \
0 apart. Good requests met their targets: {targets}. CPU is in percent of one core. Late is the delay of the generator \
in sending: if it or the generator's CPU is large, the generator limits the figures."""


@dataclass(frozen=True, slots=True)
class ServedPlan:
    sentences: list[SourceLine]
    clients: list[int]
    num_rounds: int
    shares: list[float]
    open_seconds: float
    seed: int
    targets: LatencyGoals


@dataclass(frozen=True, slots=True)
class Results:
    checkpoint: ServedCheckpoint
    ready_seconds: float
    closed: list[LoadCell]
    opened: list[LoadCell]
    memory: list[ProcessMemory]
    num_shared: int
    """Decodes or encodings shared with an equal request in flight."""

    def at_most_clients(self) -> list[LoadCell]:
        return self.closed[-len(KINDS) :]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64], help="clients of the closed loop")
    parser.add_argument("--requests", type=int, default=250, help="requests in a round of the closed loop")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the closed loop and of the engine by itself")
    parser.add_argument(
        "--loads", type=float, nargs="+", default=[50, 70, 90], help="open-loop loads in percent of the capacity"
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="duration of arrivals in an open loop")
    parser.add_argument("--seed", type=int, default=1, help="seed of the arrivals")
    parser.add_argument("--slo-first-token-ms", type=float, default=200.0, help="target of a stream's first token")
    parser.add_argument("--slo-token-ms", type=float, default=50.0, help="target of the mean time between its tokens")
    parser.add_argument("--slo-seconds", type=float, default=2.0, help="target of a plain answer")
    parser.add_argument("--sources", type=Path, default=SOURCES, help="TSV: source language, target language, text")
    parser.add_argument(
        "--large",
        action="store_true",
        help=f"serve random weights of the size of an OPUS-MT, with {NUM_LARGE_TOKENS} tokens a sentence",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="also plot the loops")
    parser.add_argument("--quick", action="store_true", help="one round, few requests: only checks that it works")
    parser.add_argument("serve", nargs="*", metavar="-- FLAGS", help="flags of kakehashi serve")


def run(arguments: argparse.Namespace) -> None:
    """Raises SystemExit if the server does not start; other failures are shown in the tables."""
    plan = _plan(arguments)
    with TemporaryDirectory() as scratch:
        flags = [*NO_CACHE, *(_large(Path(scratch)) if arguments.large else []), *arguments.serve]
        with running_server(flags) as server:
            results = _measure(server, plan)
        print(f"{Machine.read()}; `kakehashi {shlex.join(['serve', *flags])}`; `{shlex.join(sys.orig_argv[1:])}`")
        _show(results, plan)
        rounds = _measure_offline(results.checkpoint, plan, Path(scratch))
    if rounds:
        print(f"\n### The engine without a server\n\n{offline_table(rounds, results.at_most_clients())}")
    if arguments.plot is not None:
        from loadtests.bench.served_plot import draw

        offline_speed = statistics.median(each.tokens_per_second for each in rounds) if rounds else None
        draw(arguments.plot, closed=results.closed, opened=results.opened, offline_speed=offline_speed)


def _large(scratch: Path) -> list[str]:
    """Save the random checkpoint. Returns the flags of `kakehashi serve`."""
    directory = scratch / "random-m2m100"
    from loadtests.bench.random_checkpoints import save_random_m2m100  # only here: it needs torch

    save_random_m2m100(directory)
    return ["--model", str(directory), "--max-new-tokens", str(NUM_LARGE_TOKENS)]


def _plan(arguments: argparse.Namespace) -> ServedPlan:
    num_requests = min(arguments.requests, QUICK_REQUESTS) if arguments.quick else arguments.requests
    return ServedPlan(
        sentences=repeated_source_lines(arguments.sources, num_requests),
        clients=sorted(arguments.clients),
        num_rounds=1 if arguments.quick else arguments.rounds,
        shares=[percent / 100 for percent in sorted(arguments.loads)],
        open_seconds=min(arguments.seconds, QUICK_SECONDS) if arguments.quick else arguments.seconds,
        seed=arguments.seed,
        targets=LatencyGoals(
            first_token_seconds=arguments.slo_first_token_ms / 1000,
            token_seconds=arguments.slo_token_ms / 1000,
            plain_seconds=arguments.slo_seconds,
        ),
    )


def _measure(server: BenchServer, plan: ServedPlan) -> Results:
    generator = Generator(server, plan.sentences)
    shapes = list(product(plan.clients, KINDS))
    num_cells = len(shapes) * plan.num_rounds + len(plan.shares) * len(KINDS)
    with tqdm(total=num_cells, unit="cell") as bar:
        for stream in KINDS:
            generator.closed(num_clients=max(plan.clients), stream=stream)  # warms it up
        rounds: dict[tuple[int, bool], list[Measured]] = {shape: [] for shape in shapes}
        for _, (num_clients, stream) in product(range(plan.num_rounds), shapes):
            rounds[num_clients, stream].append(generator.closed(num_clients=num_clients, stream=stream))
            bar.update()
        closed = [_closed_cell(measured, plan, *shape) for shape, measured in rounds.items()]
        opened = []
        for capacity, share in product(closed[-len(KINDS) :], plan.shares):
            opened.append(_open_cell(generator, plan, capacity, share))
            bar.update()
    num_shared = int(server.metrics().sum("kakehashi_coalesced_total"))
    return Results(server.checkpoint(), server.ready_seconds, closed, opened, server.memory(), num_shared)


def _closed_cell(rounds: Sequence[Measured], plan: ServedPlan, num_clients: int, stream: bool) -> LoadCell:
    middle = sorted(rounds, key=lambda each: each.load.tokens_per_second)[len(rounds) // 2]
    return LoadCell(
        load=f"{num_clients} client{'s' * (num_clients > 1)}",
        is_stream=stream,
        seconds=middle.load.seconds,
        offered_per_second=len(middle.load.answers) / middle.load.seconds,
        summary=summarize(middle.load.answers, plan.targets, stream=stream),
        cpu=middle.cpu,
        speeds=tuple(each.load.tokens_per_second for each in rounds),
    )


def _open_cell(generator: Generator, plan: ServedPlan, capacity: LoadCell, share: float) -> LoadCell:
    stream = capacity.is_stream
    rate = max(share * capacity.summary.num_completed / capacity.seconds, 1 / plan.open_seconds)
    arrivals = poisson_arrivals(rate=rate, seconds=plan.open_seconds, seed=plan.seed)
    measured = generator.open(arrivals, stream=stream)
    return LoadCell(
        load=f"{100 * share:.0f} %",
        is_stream=stream,
        seconds=max(measured.load.seconds, plan.open_seconds),
        offered_per_second=len(arrivals) / plan.open_seconds,
        summary=summarize(measured.load.answers, plan.targets, stream=stream),
        cpu=measured.cpu,
        speeds=(measured.load.tokens_per_second,),
    )


def _measure_offline(checkpoint: ServedCheckpoint, plan: ServedPlan, scratch: Path) -> list[OfflineRound]:
    try:
        return measure_offline(checkpoint, plan.sentences, num_rounds=plan.num_rounds, scratch=scratch)
    except (RuntimeError, OSError) as error:  # the other tables are still useful
        print(f"the engine without a server could not be measured: {error!r}", file=sys.stderr)
        return []


def _show(results: Results, plan: ServedPlan) -> None:
    targets, checkpoint = plan.targets, results.checkpoint
    goals = (
        f"a stream's first token within {targets.first_token_seconds * 1000:g} ms and its tokens "
        f"{targets.token_seconds * 1000:g} ms apart on average, a plain answer within {targets.plain_seconds:g} s"
    )
    print(
        f"{checkpoint.name}, {checkpoint.compute_type} on {checkpoint.device}, {checkpoint.workers} workers of "
        f"{checkpoint.max_rows} rows; ready {results.ready_seconds:.1f} s after the start of the process\n\n"
        f"### Closed loop\n\n{load_table(results.closed)}\n\n{LEGEND.format(targets=goals)}\n\n"
        f"### Open loop\n\nIn percent of the requests/s of {results.at_most_clients()[0].load}, "
        f"{plan.open_seconds:g} s of Poisson arrivals each.\n\n{load_table(results.opened)}\n\n"
        f"Sentences that shared work with an equal one in flight: {results.num_shared}.\n\n"
        f"### Memory after the load\n\n{memory_table(results.memory, checkpoint)}"
    )
