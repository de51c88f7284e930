"""Laws of the load tests' thresholds: a value beyond a threshold misses it, and its line shows that."""

from dataclasses import replace

import pytest

from loadtests.locust.thresholds import Figures, Thresholds, check

THRESHOLDS = Thresholds(
    failed_percent=1.0,
    plain_milliseconds=1000.0,
    first_token_milliseconds=200.0,
    token_milliseconds=50.0,
    requests_per_second=5.0,
)
AT_THE_LIMITS = Figures(
    num_requests=200,
    num_failures=2,
    num_exceptions=0,
    requests_per_second=5.0,
    plain_milliseconds=1000.0,
    first_token_milliseconds=200.0,
    token_milliseconds=50.0,
)


def missed(figures: Figures, thresholds: Thresholds = THRESHOLDS) -> list[str]:
    return [each.name for each in check(figures, thresholds) if not each.is_met]


def test_figures_at_the_limits_are_met():
    assert missed(AT_THE_LIMITS) == []


@pytest.mark.parametrize(
    ("figures", "name"),
    [
        (replace(AT_THE_LIMITS, num_failures=3), "failed requests"),
        (replace(AT_THE_LIMITS, plain_milliseconds=1000.1), "plain answer, p95"),
        (replace(AT_THE_LIMITS, first_token_milliseconds=201.0), "time to first token, p95"),
        (replace(AT_THE_LIMITS, token_milliseconds=51.0), "inter-token time, p95"),
        (replace(AT_THE_LIMITS, requests_per_second=4.9), "requests"),
        (replace(AT_THE_LIMITS, num_exceptions=1), "exceptions in the load test"),
    ],
)
def test_a_figure_beyond_its_limit_misses_it_alone(figures: Figures, name: str):
    assert missed(figures) == [name]


def test_what_was_not_sent_is_not_missed():
    plain_only = replace(AT_THE_LIMITS, first_token_milliseconds=None, token_milliseconds=None)
    assert missed(plain_only) == []


def test_a_test_that_sent_nothing_misses_its_requests_whatever_the_limit():
    nothing = Figures(0, 0, 0, 0.0, None, None, None)
    assert missed(nothing, replace(THRESHOLDS, requests_per_second=0.0)) == ["requests"]


def test_a_line_says_verdict_limit_and_measure():
    lines = [str(each) for each in check(replace(AT_THE_LIMITS, num_failures=3), THRESHOLDS)]
    assert lines[0].split() == ["MISSED", "failed", "requests", "≤", "1", "%", "1.5", "%"]
    assert lines[4].split() == ["met", "requests", "≥", "5", "/s", "5", "/s"]
