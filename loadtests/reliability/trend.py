"""A straight line through measurements over time, with the standard error of its slope."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression, mean

NUM_ERRORS = 2
"""Standard errors by which a slope has to exceed zero to count as growth."""


@dataclass(frozen=True, slots=True)
class Trend:
    """`slope` and `error` are in units of the values a second; `level` is the mean of the values."""

    slope: float
    error: float
    level: float

    @classmethod
    def of(cls, seconds: Sequence[float], values: Sequence[float]) -> "Trend":
        """Fit the line by least squares. Needs at least three values."""
        slope, intercept = linear_regression(seconds, values)
        residuals = [value - slope * second - intercept for second, value in zip(seconds, values, strict=True)]
        middle = mean(seconds)
        spread = sum((second - middle) ** 2 for second in seconds)
        error = math.sqrt(sum(each**2 for each in residuals) / (len(values) - 2) / spread)
        return cls(slope, error, mean(values))

    def sure_growth(self, seconds: float) -> float:
        """The share of the level by which the values surely grow in this time; 0 if they may not grow at all."""
        return max(0.0, self.slope - NUM_ERRORS * self.error) * seconds / self.level
