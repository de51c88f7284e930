"""The tokens a second that a worker generates while decodes wait for its rows. Pure policy: time is an argument.

Only turns that leave decodes waiting count, because a worker with free rows has work for more tokens a second than it
is given. All workers share one running average over about MEMORY_SECONDS of such turns.
"""

from math import exp

MEMORY_SECONDS = 2.0
MIN_SECONDS = 0.25
"""The time of turns from which the average is trusted."""


class Throughput:
    def __init__(self) -> None:
        self._num_tokens = 0.0
        self._seconds = 0.0
        self._busy_since: dict[str, float] = {}
        """By worker: the time of its last report, if that left decodes waiting."""

    def report(self, worker: str, *, now: float, num_tokens: int, leaves_waiting: bool) -> None:
        """A turn has ended that generated `num_tokens` over all rows."""
        since = self._busy_since.pop(worker, None)
        if since is not None:
            seconds = now - since
            kept = exp(-seconds / MEMORY_SECONDS)
            self._num_tokens = kept * self._num_tokens + num_tokens
            self._seconds = kept * self._seconds + seconds
        if leaves_waiting:
            self._busy_since[worker] = now

    def lose(self, worker: str) -> None:
        """The worker is gone."""
        self._busy_since.pop(worker, None)

    @property
    def tokens_per_second(self) -> float | None:
        """Of one worker; None if it has not been measured for long enough."""
        return self._num_tokens / self._seconds if self._seconds >= MIN_SECONDS else None
