"""A circuit breaker: when to stop using a failing Redis, and when to try it again.

Closed: every operation is admitted, until `max_failures` in a row have failed.
Open: none is admitted, for a pause that doubles with each failed probe.
Half-open, after the pause: one operation is admitted as the probe. Its success closes the circuit and its failure opens
it again. A probe that ends with neither, because its caller was cancelled, makes room for the next one.
"""

from dataclasses import dataclass

MAX_FAILURES = 3
MIN_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Permit:
    """One admitted operation. Its result counts only in the `round` that admitted it."""

    round: int


class CircuitBreaker:
    """Every permit is returned by `succeed`, `fail` or `abandon`; only the first of them has an effect."""

    def __init__(
        self,
        *,
        max_failures: int = MAX_FAILURES,
        min_pause_seconds: float = MIN_PAUSE_SECONDS,
        max_pause_seconds: float = MAX_PAUSE_SECONDS,
    ) -> None:
        self._max_failures = max_failures
        self._min_pause_seconds = min_pause_seconds
        self._max_pause_seconds = max_pause_seconds
        self._round = 0
        self._num_failures = 0
        self._pause_seconds = 0.0
        self._open_until: float | None = None  # None: closed
        self._is_probing = False

    @property
    def is_closed(self) -> bool:
        return self._open_until is None

    @property
    def pause_seconds(self) -> float:
        """The current pause, or the last one."""
        return self._pause_seconds

    def is_pausing(self, *, now: float) -> bool:
        """Whether `admit` would refuse now because of the pause."""
        return self._open_until is not None and now < self._open_until

    def admit(self, *, now: float) -> Permit | None:
        """A permit, or None where the operation must not run. While the circuit is open, the permit is the probe's."""
        if self._open_until is not None:
            if self._is_probing or now < self._open_until:
                return None
            self._round += 1
            self._is_probing = True
        return Permit(self._round)

    def succeed(self, permit: Permit) -> bool:
        """Returns whether this closed the circuit."""
        if permit.round != self._round:
            return False
        self._num_failures = 0
        was_open = not self.is_closed
        if was_open:
            self._round += 1
            self._open_until, self._is_probing = None, False
        return was_open

    def fail(self, permit: Permit, *, now: float) -> bool:
        """Returns whether this opened the circuit. A failed probe does not: the circuit was open before."""
        if permit.round != self._round:
            return False
        was_closed = self.is_closed
        if was_closed:
            self._num_failures += 1
            if self._num_failures < self._max_failures:
                return False
            self._pause_seconds = self._min_pause_seconds
        else:
            self._pause_seconds = min(2 * self._pause_seconds, self._max_pause_seconds)
        self._round += 1
        self._open_until, self._is_probing = now + self._pause_seconds, False
        return was_closed

    def abandon(self, permit: Permit) -> None:
        """The operation ended without a result, for example because its caller was cancelled."""
        if permit.round == self._round and not self.is_closed:
            self._round += 1
            self._is_probing = False
