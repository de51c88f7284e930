"""The statistics of one cell's answers: percentiles, goodput, refusals and failures."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from loadtests.bench.lean_client import Exchange

PERCENTS = (50, 95, 99)

T = TypeVar("T", int, str)


@dataclass(frozen=True, slots=True)
class LatencyGoals:
    """The limits of a good answer, in seconds. `token_seconds` limits a request's mean time between tokens."""

    first_token_seconds: float
    token_seconds: float
    plain_seconds: float


@dataclass(frozen=True, slots=True)
class RequestResult:
    """`seconds` and `first_token_seconds` count from the time at which the request was due, not from sending it.

    `gaps` are the times between successive tokens. Tokens that arrive in one read are 0 apart, so the mean is the pace
    of the whole answer.
    """

    status: int
    failure: str
    num_tokens: int
    seconds: float
    late_seconds: float
    first_token_seconds: float | None = None
    gaps: tuple[float, ...] = ()

    @classmethod
    def of(cls, exchange: Exchange, *, due_at: float) -> "RequestResult":
        times = exchange.token_times
        return cls(
            status=exchange.status,
            failure=exchange.failure,
            num_tokens=exchange.num_tokens,
            seconds=exchange.ended_at - due_at,
            late_seconds=exchange.sent_at - due_at,
            first_token_seconds=times[0] - due_at if times else None,
            gaps=tuple(after - before for before, after in pairwise(times)),
        )

    @property
    def is_ok(self) -> bool:
        return self.status == 200 and not self.failure

    def is_good(self, targets: LatencyGoals, *, stream: bool) -> bool:
        if not self.is_ok:
            return False
        if not stream:
            return self.seconds <= targets.plain_seconds
        if self.first_token_seconds is None or self.first_token_seconds > targets.first_token_seconds:
            return False
        return not self.gaps or sum(self.gaps) / len(self.gaps) <= targets.token_seconds


def percentile(values: Sequence[float], percent: float) -> float:
    """Interpolates linearly between the two nearest values. NaN if there are none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


@dataclass(frozen=True, slots=True)
class Summary:
    """Latencies are percentiles of the complete answers, in the order of PERCENTS, in seconds."""

    num_offered: int
    num_completed: int
    num_good: int
    num_tokens: int
    first_token: tuple[float, ...]
    gap: tuple[float, ...]
    whole: tuple[float, ...]
    late: tuple[float, ...]
    refusals: tuple[tuple[int, int], ...]
    """(status, number of answers), by status."""
    failures: tuple[tuple[str, int], ...]


def summarize(answers: Sequence[RequestResult], targets: LatencyGoals, *, stream: bool) -> Summary:
    completed = [answer for answer in answers if answer.is_ok]
    return Summary(
        num_offered=len(answers),
        num_completed=len(completed),
        num_good=sum(answer.is_good(targets, stream=stream) for answer in answers),
        num_tokens=sum(answer.num_tokens for answer in completed),
        first_token=_percentiles(
            each.first_token_seconds for each in completed if each.first_token_seconds is not None
        ),
        gap=_percentiles(gap for each in completed for gap in each.gaps),
        whole=_percentiles(each.seconds for each in completed),
        late=_percentiles(each.late_seconds for each in answers),
        refusals=_counted(each.status for each in answers if each.status != 200 and not each.failure),
        failures=_counted(each.failure for each in answers if each.failure),
    )


def _percentiles(values: Iterable[float]) -> tuple[float, ...]:
    listed = sorted(values)
    return tuple(percentile(listed, percent) for percent in PERCENTS)


def _counted(values: Iterable[T]) -> tuple[tuple[T, int], ...]:
    return tuple(sorted(Counter(values).items()))
