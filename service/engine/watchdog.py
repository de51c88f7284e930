"""Decide when a silent worker is in doubt, and when it is given up. Pure policy: time is an argument.

A worker with work reports after every turn. After a quarter of its limit without a report it is in doubt: it gets no
new work and does not count as ready. At the limit it is killed, and its work is replayed.
"""

DOUBT_SHARE = 0.25
LONGEST_TURNS = 4.0
"""The limit is at least this multiple of the longest known turn."""


class Watchdog:
    def __init__(self, *, limit_seconds: float) -> None:
        self._min_limit_seconds = limit_seconds
        self._longest_turn_seconds = 0.0
        self._silent_since: float | None = None
        """None: it has no work and need not report."""

    @property
    def limit_seconds(self) -> float:
        return max(self._min_limit_seconds, LONGEST_TURNS * self._longest_turn_seconds)

    def expect(self, *, longest_turn_seconds: float) -> None:
        """Expect turns of up to this length."""
        self._longest_turn_seconds = max(self._longest_turn_seconds, longest_turn_seconds)

    def report(self, *, now: float, has_work: bool) -> None:
        """The worker has reported; `has_work` is whether it has more to do."""
        if self._silent_since is not None:
            self.expect(longest_turn_seconds=now - self._silent_since)
        self._silent_since = now if has_work else None

    def work_sent(self, *, now: float) -> None:
        if self._silent_since is None:
            self._silent_since = now

    def excuse(self, seconds: float) -> None:
        """Discount a time in which the service process itself was blocked and could not read reports."""
        if self._silent_since is not None:
            self._silent_since += seconds

    def is_in_doubt(self, *, now: float) -> bool:
        return self._silence(now) > DOUBT_SHARE * self.limit_seconds

    def is_given_up(self, *, now: float) -> bool:
        return self._silence(now) > self.limit_seconds

    def _silence(self, now: float) -> float:
        return 0.0 if self._silent_since is None else now - self._silent_since
