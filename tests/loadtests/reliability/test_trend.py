"""The slope of a line through measurements, and its standard error."""

from random import Random

import pytest

from loadtests.reliability.trend import Trend

SECONDS = [float(second) for second in range(100)]


def test_a_line_without_noise_has_its_slope_and_no_error() -> None:
    trend = Trend.of(SECONDS, [100 + 2 * second for second in SECONDS])
    assert (trend.slope, trend.error) == pytest.approx((2.0, 0.0))
    assert trend.sure_growth(100) == pytest.approx(200 / trend.level)


def test_noise_alone_is_no_growth_and_growth_is_found_in_noise() -> None:
    noise = Random(1)
    values = [1000 + noise.gauss(0, 10) for _ in SECONDS]
    assert Trend.of(SECONDS, values).sure_growth(100) == 0
    grown = [value + second for second, value in zip(SECONDS, values, strict=True)]
    assert Trend.of(SECONDS, grown).sure_growth(100) == pytest.approx(0.1, rel=0.3)
