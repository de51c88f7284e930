"""Tests that need more than every machine has are marked with it: `needs("kernels")`, `needs("bfloat16")`.

Elsewhere they are left out, and the end of the run says what was tested and what was not, and which files took longest.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from tests.support.durations import describe_slowest
from tests.support.machine import MEANS, find_means

TOOLS = Path(__file__).parents[1] / ".tools" / "bin"


@dataclass
class Tally:
    """Of the tests that need something, by what it is: how many were collected, and why they were left out, if so."""

    num_tests: Counter[str] = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)


TALLY = pytest.StashKey[Tally]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"needs(means): is left out where the machine has no {' or '.join(MEANS)}")
    config.stash[TALLY] = Tally()
    # Programs that `make tools` had to unpack are found without make, too.
    os.environ["PATH"] = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    tally = config.stash[TALLY]
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        needed = {mark.args[0] for mark in item.iter_markers("needs")}
        tally.num_tests.update(needed)
        for name in needed:
            problem = find_means(name).problem
            if problem:
                tally.problems[name] = problem
        (left_out if needed & tally.problems.keys() else kept).append(item)
    items[:] = kept
    if left_out:
        config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    reports = [
        each for group in terminalreporter.stats.values() for each in group if isinstance(each, pytest.TestReport)
    ]
    if reports:
        terminalreporter.write_line(describe_slowest(reports))
    tally = config.stash[TALLY]
    for name, num_tests in sorted(tally.num_tests.items()):
        problem = tally.problems.get(name)
        outcome = f"none, {num_tests} tests left out: {problem}" if problem else find_means(name).label
        terminalreporter.write_line(f"{name} tested: {outcome}")


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """The cores are for the servers that the tests run, and results must not depend on how many there are."""
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(num_threads)
