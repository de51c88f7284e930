"""The tokens a second that each worker generates while decodes wait for its rows. Pure policy: time is an argument.

Only turns that leave decodes waiting count, because a worker with free rows has work for more tokens a second than it
is given. The speed of a worker is a running average over about MEMORY_SECONDS of such turns. After FRESH_SECONDS
without one, it may have been the speed of bad times, such as a standstill; then the fastest turn so far counts, so that
no work is refused for long because of an old measurement.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import exp

MEMORY_SECONDS = 0.5
MIN_SECONDS = 0.25
"""The time of turns from which an average is trusted."""
FRESH_SECONDS = 5.0


@dataclass(slots=True)
class _Average:
    num_tokens: float = 0.0
    seconds: float = 0.0
    busy_since: float | None = None
    """The time of the last report, if that left decodes waiting."""
    measured_at: float = 0.0
    fastest: float = 0.0
    """Of all turns, in tokens a second."""

    @property
    def speed(self) -> float | None:
        return self.num_tokens / self.seconds if self.seconds >= MIN_SECONDS else None

    def speed_at(self, now: float) -> float | None:
        speed = self.speed
        return speed if speed is None or now - self.measured_at <= FRESH_SECONDS else max(speed, self.fastest)


class Throughput:
    def __init__(self) -> None:
        self._averages: defaultdict[str, _Average] = defaultdict(_Average)
        """By worker."""

    def report(self, worker: str, *, now: float, turn_seconds: float, num_tokens: int, leaves_waiting: bool) -> None:
        """A turn has ended that generated `num_tokens` over all rows."""
        average = self._averages[worker]
        if turn_seconds > 0:
            average.fastest = max(average.fastest, num_tokens / turn_seconds)
        if average.busy_since is not None:
            seconds = now - average.busy_since
            kept = exp(-seconds / MEMORY_SECONDS)
            average.num_tokens = kept * average.num_tokens + num_tokens
            average.seconds = kept * average.seconds + seconds
            average.measured_at = now
        average.busy_since = now if leaves_waiting else None

    def lose(self, worker: str) -> None:
        """The worker is gone."""
        self._averages[worker].busy_since = None

    def tokens_per_second(self, *, now: float) -> float | None:
        """Of one worker, on average; None if none has been measured for long enough."""
        return _mean(average.speed_at(now) for average in self._averages.values())

    def relative(self, worker: str) -> float:
        """The speed of this worker as a multiple of the average one.

        1 unless decodes wait for its rows: before that its speed does not matter, and may have changed unseen.
        """
        average, mean = self._averages[worker], _mean(average.speed for average in self._averages.values())
        if average.busy_since is None or not average.speed or not mean:
            return 1.0
        return average.speed / mean


def _mean(speeds: Iterable[float | None]) -> float | None:
    known = [speed for speed in speeds if speed is not None]
    return sum(known) / len(known) if known else None
