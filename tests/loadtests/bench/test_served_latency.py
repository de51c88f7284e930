"""Laws of the served benchmark's arithmetic: arrivals, percentiles, and what counts as good, refused or failed."""

import math
from dataclasses import replace

import pytest

from loadtests.bench.arrivals import poisson_arrivals
from loadtests.bench.latency import LatencyGoals, RequestResult, percentile, summarize
from loadtests.bench.lean_client import Exchange

TARGETS = LatencyGoals(first_token_seconds=0.2, token_seconds=0.05, plain_seconds=2.0)
PLAIN = RequestResult(status=200, failure="", num_tokens=10, seconds=1.0, late_seconds=0.0)
STREAM = replace(PLAIN, first_token_seconds=0.1, gaps=(0.0, 0.08, 0.04))


def test_arrivals_are_those_of_their_seed():
    arrivals = poisson_arrivals(rate=50, seconds=10, seed=3)
    assert arrivals == poisson_arrivals(rate=50, seconds=10, seed=3)
    assert arrivals != poisson_arrivals(rate=50, seconds=10, seed=4)
    assert arrivals == sorted(arrivals)
    assert arrivals[-1] < 10


@pytest.mark.parametrize("rate", [2.0, 40.0])
def test_arrivals_are_poisson_at_their_rate(rate: float):
    seconds = 20_000 / rate
    arrivals = poisson_arrivals(rate=rate, seconds=seconds, seed=1)
    # Of a Poisson process the numbers in equal spans have the same mean and variance.
    counts = [0] * 2000
    for arrival in arrivals:
        counts[int(arrival / seconds * 2000)] += 1
    mean = len(arrivals) / 2000
    assert mean == pytest.approx(10, rel=0.03)
    assert sum((count - mean) ** 2 for count in counts) / 2000 == pytest.approx(mean, rel=0.1)


def test_percentiles_lie_between_the_nearest_values():
    values = [4.0, 1.0, 3.0, 2.0, 5.0]
    assert [percentile(values, percent) for percent in (0, 50, 90, 100)] == [1.0, 3.0, pytest.approx(4.6), 5.0]
    assert percentile([7.0], 99) == 7.0
    assert math.isnan(percentile([], 50))


def test_latency_counts_from_when_the_request_was_due():
    exchange = Exchange(
        sent_at=10.5,
        status=200,
        token_times=[11.0, 11.0, 11.25],
        last_event=b'event: done\ndata: {"usage":{"generated_tokens":3}}',
        ended_at=12.0,
    )
    answer = RequestResult.of(exchange, due_at=10.0)
    assert (answer.late_seconds, answer.first_token_seconds, answer.seconds) == (0.5, 1.0, 2.0)
    assert answer.gaps == (0.0, 0.25), "tokens that came together are 0 apart"
    assert answer.num_tokens == 3


@pytest.mark.parametrize(
    ("answer", "stream", "is_good"),
    [
        (PLAIN, False, True),
        (replace(PLAIN, seconds=2.01), False, False),
        (replace(PLAIN, status=429), False, False),
        (replace(PLAIN, failure="the connection was cut off"), False, False),
        (STREAM, True, True),
        (replace(STREAM, seconds=100.0), True, True),
        (replace(STREAM, first_token_seconds=0.21), True, False),
        (replace(STREAM, first_token_seconds=None), True, False),
        (replace(STREAM, gaps=(0.0, 0.08, 0.08)), True, False),
        (replace(STREAM, gaps=()), True, True),
    ],
)
def test_a_good_answer_is_whole_and_within_its_targets(answer: RequestResult, stream: bool, is_good: bool):
    assert answer.is_good(TARGETS, stream=stream) == is_good


def test_a_summary_counts_every_request_once():
    answers = [
        STREAM,
        replace(STREAM, first_token_seconds=0.3, seconds=3.0),
        replace(STREAM, status=429, num_tokens=0),
        replace(STREAM, status=429, num_tokens=0),
        replace(STREAM, status=503, num_tokens=0),
        replace(STREAM, failure="a stream without done", num_tokens=0, seconds=99.0),
        replace(STREAM, status=0, failure="transport: ConnectionRefusedError", num_tokens=0),
    ]
    summary = summarize(answers, TARGETS, stream=True)
    assert (summary.num_offered, summary.num_completed, summary.num_good, summary.num_tokens) == (7, 2, 1, 20)
    assert summary.refusals == ((429, 2), (503, 1))
    assert summary.failures == (("a stream without done", 1), ("transport: ConnectionRefusedError", 1))
    assert summary.whole == pytest.approx((2.0, 2.9, 2.98)), "only of answers that are whole"
