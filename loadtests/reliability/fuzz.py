"""Requests that nobody should send: python -m loadtests.reliability fuzz.

1. schemathesis over the OpenAPI document: all endpoints, all phases.
2. Raw cases until there are `--cases` in all: distorted heads, bodies and framing, half-closed and reset connections.

Every answer has a documented status and body, none is a 500, no connection hangs, the event loop never stands still,
and afterwards the server is idle and as small and as fast as before.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtests.bench.event_loop_watch import watched_event_loop
from loadtests.bench.server_process import ServerProcess
from loadtests.reliability.raw_fuzz import RawFuzz, send_raw_cases
from loadtests.reliability.schema_fuzz import PHASES, SchemaFuzz, run_schemathesis
from loadtests.reliability.trial import Condition, Tolerance, broken_promises, standstill_faults

CONNECTION_STATUSES = frozenset({400, 404, 405, 408})
"""Statuses of HTTP itself, which docs/api.md documents for every path and OpenAPI for none."""
WARM_UP_SEED = 0
SETTINGS = {
    "WORKERS": 1,
    "MAX_NEW_TOKENS": 64,
    "CACHE_BYTES": 1 << 20,
    "ARRIVAL_SECONDS": 1,
    "MIN_BODY_BYTES_PER_SECOND": 1 << 20,
    "KEEP_ALIVE_SECONDS": 1,
    "STALL_SECONDS": 1,
}
"""Limits on connections that are short enough for thousands of cases which wait for one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FuzzPlan:
    num_cases: int
    num_warm_up_cases: int
    max_examples: int
    seed: int
    tolerance: Tolerance
    phases: Sequence[str] = PHASES


@dataclass(slots=True)
class FuzzReport:
    schema: SchemaFuzz
    raw: RawFuzz
    before: Condition
    after: Condition
    standstill_seconds: float
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        statuses = ", ".join(f"{status}: {count}" for status, count in sorted(self.raw.statuses.items()))
        return "\n\n".join(
            [
                f"{self.schema.num_cases} cases of schemathesis, {self.raw.num_cases} raw cases ({statuses})",
                f"Longest standstill of the event loop: {self.standstill_seconds * 1000:.0f} ms.",
                f"Before: {self.before}.\n\nAfter: {self.after}.",
                broken_promises(self.faults),
            ]
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cases", type=int, default=10_000, help="cases in all")
    parser.add_argument("--max-examples", type=int, default=100, help="cases of schemathesis an operation and phase")
    parser.add_argument("--seed", type=int, default=1)


def run(arguments: argparse.Namespace) -> FuzzReport:
    plan = FuzzPlan(
        num_cases=arguments.cases,
        num_warm_up_cases=500,
        max_examples=arguments.max_examples,
        seed=arguments.seed,
        tolerance=Tolerance(),
    )
    return run_fuzz(plan)


def run_fuzz(plan: FuzzPlan) -> FuzzReport:
    with TemporaryDirectory(prefix="fuzz-") as name, ServerProcess.start(Path(name), SETTINGS) as server:
        server.wait_ready()
        documented = _documented(server)
        asyncio.run(send_raw_cases(server.port, plan.num_warm_up_cases, seed=WARM_UP_SEED, documented=documented))
        before = Condition.read(server, num_rounds=plan.tolerance.num_rounds)
        with watched_event_loop(server.port, pid=server.process.pid) as watch:
            schema = run_schemathesis(
                server.url, Path(name), seed=plan.seed, max_examples=plan.max_examples, phases=tuple(plan.phases)
            )
            num_raw = max(0, plan.num_cases - schema.num_cases)
            raw = asyncio.run(send_raw_cases(server.port, num_raw, seed=plan.seed, documented=documented))
        after = Condition.read(server, num_rounds=plan.tolerance.num_rounds)
        report = FuzzReport(schema, raw, before, after, watch.longest_seconds, list(raw.faults))
        if schema.has_failed:
            report.faults.append(f"schemathesis failed:\n{schema.output}")
        if num_errors := server.metrics().sum("kakehashi_requests_total", outcome="error"):
            report.faults.append(f"{num_errors:.0f} requests ended in an error of the server")
        report.faults += standstill_faults(watch.longest_seconds, plan.tolerance)
        report.faults += report.after.faults_since(before, plan.tolerance)
        return report


def _documented(server: ServerProcess) -> frozenset[int]:
    """All statuses in the OpenAPI document but 500, which is always a fault."""
    paths = json.loads(server.get("/openapi.json"))["paths"]
    responses = [status for methods in paths.values() for each in methods.values() for status in each["responses"]]
    return frozenset(map(int, responses)) - {500} | CONNECTION_STATUSES
