"""The test run: what some tests need, how it is spread over processes, and the summary at its end.

Tests that not every machine can run are marked `needs("kernels")` or `needs("bfloat16")`. Elsewhere they are skipped,
with a reason that the summary prints.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.support.durations import describe_slowest
from tests.support.machine import MEANS, find_means
from tests.support.server_guard import find_longest_standstill

TOOLS = Path(__file__).parents[1] / ".tools" / "bin"
MAX_PROCESSES = 8


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"needs(means): skipped on machines without it; one of {', '.join(MEANS)}")
    # Programs that `make tools` unpacked are found without make, too.
    os.environ["PATH"] = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: tests wait for other processes about a third of the time."""
    return min(len(os.sched_getaffinity(0)) + 1, MAX_PROCESSES)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        problem = find_means(mark.args[0]).problem
        if problem:
            pytest.skip(f"{mark.args[0]}: {problem}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        each for group in terminalreporter.stats.values() for each in group if isinstance(each, pytest.TestReport)
    ]
    if not reports:
        return
    terminalreporter.write_line(describe_slowest(reports))
    if longest := find_longest_standstill(reports):
        terminalreporter.write_line(f"longest standstill of an event loop: {longest}")
    for name in MEANS:
        means = find_means(name)
        terminalreporter.write_line(f"{name} tested: {f'none, {means.problem}' if means.problem else means.label}")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Leave the cores to the servers under test, and keep results independent of their number."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)
