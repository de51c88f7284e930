"""When to leave a failing Redis alone, and when to ask it again.

Closed: everything is let through, until `max_failures` operations in a row have failed.
Open: nothing is, for a pause that doubles from one failed probe to the next.
Half-open, once the pause is over: one operation is let through, the probe. Its success closes, its failure opens again;
a probe that ends with neither, as when its caller hangs up, leaves its place to the next operation.
"""

from dataclasses import dataclass

MAX_FAILURES = 3
MIN_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Permit:
    """One operation that was let through. It counts only in the state that let it through, the `round`."""

    round: int


class CircuitBreaker:
    """Every permit must be given back by `succeed`, `fail` or `abandon`; what comes after the first has no effect."""

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
        """The present pause, or the last."""
        return self._pause_seconds

    def is_pausing(self, *, now: float) -> bool:
        """Whether nothing that begins now can be let through, not even as a probe."""
        return self._open_until is not None and now < self._open_until

    def admit(self, *, now: float) -> Permit | None:
        """None: leave it. While open, a permit is the probe's."""
        if self._open_until is not None:
            if self._is_probing or now < self._open_until:
                return None
            self._round += 1
            self._is_probing = True
        return Permit(self._round)

    def succeed(self, permit: Permit) -> bool:
        """Whether this closed the circuit."""
        if permit.round != self._round:
            return False
        self._num_failures = 0
        was_open = not self.is_closed
        if was_open:
            self._round += 1
            self._open_until, self._is_probing = None, False
        return was_open

    def fail(self, permit: Permit, *, now: float) -> bool:
        """Whether this opened the circuit; the failure of a probe did not, since it was open before."""
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
        """The operation ended without saying anything about Redis."""
        if permit.round == self._round and not self.is_closed:
            self._round += 1
            self._is_probing = False
