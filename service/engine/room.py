"""Decide whether work may enter, and when a refused client should come back. Pure policy over plain values.

1. What waits is bounded, in expected tokens to generate. When nothing waits, any request may enter. When the queue is
   full, a client may still use its share of it, which is that of an equal division among the clients that have work.
   So nobody is shut out by what others have sent.
2. A request that cannot meet its deadline is refused: what its own work takes at least, and the work ahead of it at
   most, because later requests will take turns with it. Nothing is refused for its deadline before the speed is known.
3. `Retry-After` is the time in which the work so far will be done.
"""

from collections.abc import Callable
from math import ceil

from service.engine.backlog import Backlog
from service.engine.owner import Priority
from service.errors import DeadlineUnreachableError, QueueFullError

MARGIN = 1.5
"""The uncertainty of an estimated time, as a factor."""
UNKNOWN_SECONDS = 1
"""`Retry-After` before the speed is known."""


class Room:
    """`num_waiting` is the expected work of decodes that wait for rows."""

    def __init__(
        self,
        backlog: Backlog,
        *,
        max_queue_tokens: int,
        speed: Callable[[], float | None],
    ) -> None:
        """`speed` is the server's, in tokens a second; None if it is not known yet."""
        self.max_queue_tokens = max_queue_tokens
        self._backlog = backlog
        self._speed = speed

    def retry_after_seconds(self) -> int:
        """Whole seconds, at least 1."""
        speed = self._speed()
        return UNKNOWN_SECONDS if speed is None else max(1, ceil(self._backlog.num_tokens / speed))

    def check_gate(self, client: str, *, num_waiting: int) -> None:
        """Raises QueueFullError if no further work of this client may enter."""
        if num_waiting >= self.max_queue_tokens and self._exceeds_share(client, 1):
            raise QueueFullError(
                f"{num_waiting} tokens are waiting to be generated; the limit is {self.max_queue_tokens}",
                retry_after_seconds=self.retry_after_seconds(),
            )

    def check(self, num_tokens: int, client: str, *, num_waiting: int) -> None:
        """Raises QueueFullError if `num_tokens` of this client may not wait behind the others."""
        is_full = num_waiting > 0 and num_waiting + num_tokens > self.max_queue_tokens
        if is_full and num_tokens and self._exceeds_share(client, num_tokens):
            raise QueueFullError(
                f"{num_waiting} tokens are waiting to be generated and this request has about {num_tokens} more; "
                f"the limit is {self.max_queue_tokens}",
                retry_after_seconds=self.retry_after_seconds(),
            )

    def check_estimate(self, num_tokens: int, client: str, *, num_waiting: int) -> None:
        """`check` work whose size is uncertain: only what clearly has no room is refused."""
        self.check(int(num_tokens / MARGIN), client, num_waiting=num_waiting)

    def check_deadline(self, num_tokens: int, *, client: str, priority: Priority, seconds_left: float) -> None:
        """Raises DeadlineUnreachableError if a request of `num_tokens` would clearly end too late."""
        speed = self._speed()
        if speed is None or self._seconds(num_tokens, self._backlog.num_tokens, speed) <= seconds_left:
            return
        num_ahead = self._backlog.ahead_of(client, priority, num_tokens)
        seconds = self._seconds(num_tokens, num_ahead, speed)
        if seconds > seconds_left:
            raise DeadlineUnreachableError(
                f"this request may take {seconds:.1f} s now, and {max(0.0, seconds_left):.1f} s are left: "
                "send less text, allow more time, or retry later",
                retry_after_seconds=self.retry_after_seconds(),
            )

    def _exceeds_share(self, client: str, num_tokens: int) -> bool:
        share = self.max_queue_tokens // (1 + self._backlog.num_others(client))
        return self._backlog.of(client) + num_tokens > share

    @staticmethod
    def _seconds(num_tokens: int, num_ahead: int, speed: float) -> float:
        return (num_tokens / MARGIN + num_ahead * MARGIN) / speed
