"""The thresholds of a load test, and their checks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figures:
    """The results of a load test; None for requests that were not sent. Times are 95th percentiles."""

    num_requests: int
    num_failures: int
    num_exceptions: int
    """Exceptions in the load test itself."""
    requests_per_second: float
    plain_milliseconds: float | None
    first_token_milliseconds: float | None
    token_milliseconds: float | None

    @property
    def failed_percent(self) -> float | None:
        return 100 * self.num_failures / self.num_requests if self.num_requests else None


@dataclass(frozen=True, slots=True)
class Thresholds:
    failed_percent: float
    plain_milliseconds: float
    first_token_milliseconds: float
    token_milliseconds: float
    requests_per_second: float


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    limit: float
    measured: float | None
    unit: str
    is_met: bool

    def __str__(self) -> str:
        sign = "≥" if self.unit == "/s" else "≤"
        measured = "nothing measured" if self.measured is None else f"{self.measured:.4g} {self.unit}"
        verdict = "met" if self.is_met else "MISSED"
        return f"{verdict:6}  {self.name:<28} {sign} {f'{self.limit:g} {self.unit}':<9}  {measured}".rstrip()


def check(figures: Figures, thresholds: Thresholds) -> list[Check]:
    """Compare figures with thresholds. A time without measurements passes; a test without any request fails."""

    def at_most(name: str, limit: float, measured: float | None, unit: str) -> Check:
        return Check(name, limit, measured, unit, is_met=measured is None or measured <= limit)

    def p95(name: str, limit: float, measured: float | None) -> Check:
        return at_most(f"{name}, p95", limit, measured, "ms")

    speed = figures.requests_per_second
    is_fast = figures.num_requests > 0 and speed >= thresholds.requests_per_second
    return [
        at_most("failed requests", thresholds.failed_percent, figures.failed_percent, "%"),
        p95("plain answer", thresholds.plain_milliseconds, figures.plain_milliseconds),
        p95("time to first token", thresholds.first_token_milliseconds, figures.first_token_milliseconds),
        p95("inter-token time", thresholds.token_milliseconds, figures.token_milliseconds),
        Check("requests", thresholds.requests_per_second, speed, "/s", is_met=is_fast),
        at_most("exceptions in the load test", 0, figures.num_exceptions, ""),
    ]
