"""The p99 of a soak test: what grows is found, what only scatters is not."""

from collections.abc import Callable
from random import Random

import pytest

from loadtests.bench.latency import RequestResult
from loadtests.reliability.soak import SoakReport
from loadtests.reliability.vitals import Vitals

NUM_ANSWERS = 3000
VITALS = Vitals(service_bytes=1, worker_bytes=1, num_descriptors=1)


def report(seconds: Callable[[float], float]) -> SoakReport:
    """`seconds` takes the time of a request, from 0 to 1, and returns how long it took."""
    answers = [
        RequestResult(200, "", num_tokens=1, seconds=seconds(index / NUM_ANSWERS), late_seconds=0.0)
        for index in range(NUM_ANSWERS)
    ]
    return SoakReport(30, 100, answers, [], before=VITALS, after=VITALS)


def test_a_p99_that_grows_by_two_fifths_breaks_a_promise() -> None:
    growing = report(lambda time: 0.1 + 0.05 * time)
    assert growing.faults == ["the p99 grew by 40%"]
    assert "it changed by +50 ms, with a standard error of 0 ms" in str(growing)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_p99_that_scatters_breaks_none(seed: int) -> None:
    noise = Random(seed)
    minutes = [noise.uniform(0.1, 0.3) for _ in range(30)]
    assert report(lambda time: minutes[int(time * 30)]).faults == []
