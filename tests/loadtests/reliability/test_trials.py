"""A server keeps its promises under bad requests, and under clients of all kinds while processes die."""

from loadtests.reliability.chaos import ChaosPlan, run_chaos
from loadtests.reliability.fuzz import FuzzPlan, run_fuzz
from loadtests.reliability.trial import Tolerance

SECONDS = 40.0
ON_A_BUSY_MACHINE = Tolerance(max_standstill_seconds=1.0, max_slowdown=None, num_rounds=1)
SHORT_PHASES = ("examples", "fuzzing", "stateful")
"""Without `coverage`, whose number of cases has no limit; `make fuzz` runs it."""


def test_every_request_has_one_outcome_while_processes_die() -> None:
    plan = ChaosPlan(seconds=SECONDS, calm_seconds=5, pause_seconds=1.5, seed=1, tolerance=ON_A_BUSY_MACHINE)
    report = run_chaos(plan)
    assert report.faults == [], str(report)
    assert report.num_restarts > 0
    assert min(report.certain[outcome] for outcome in ("ok", "invalid", "timeout")) > 0


def test_bad_requests_get_documented_answers_and_leave_nothing() -> None:
    plan = FuzzPlan(
        num_cases=400,
        num_warm_up_cases=100,
        max_examples=3,
        seed=2,
        phases=SHORT_PHASES,
        tolerance=ON_A_BUSY_MACHINE,
    )
    report = run_fuzz(plan)
    assert report.faults == [], str(report)
    assert report.schema.num_cases > 50
    assert report.raw.num_cases > 100
