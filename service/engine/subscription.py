"""A submitter's access to the events of its decodes."""

import asyncio
from collections.abc import Callable
from typing import Self

from service.engine.events import Event, Started, event_bytes, is_terminal
from service.engine.owner import Owner
from service.errors import DeadlineExceededError, TooLargeError

MAX_UNREAD_BYTES = 16 << 20
"""The most that waits for a reader, as in `event_bytes`."""


class Subscription:
    """Each decode has a key: the place of its spec in the order of submission."""

    def __init__(
        self,
        owner: Owner,
        *,
        deadline: float | None,
        leave: Callable[["Subscription"], None],
    ) -> None:
        """`deadline` is in the event loop's time. `leave` unsubscribes from all decodes."""
        self.owner = owner
        self.num_decodes = 0
        self.has_left = False
        """Whether it was closed or aborted; nothing is delivered any more."""
        self._events: list[tuple[int, Event]] = []
        self._num_unread_bytes = 0
        self._is_due = False
        """Whether there is a reason to wake the reader."""
        self._reader: asyncio.Future[None] | None = None
        self._num_open = 0
        self._error: Exception | None = None
        self._leave = leave
        self._is_closed = False
        loop = asyncio.get_running_loop()
        self._timer = None if deadline is None else loop.call_at(deadline, self._expire)

    @property
    def is_over(self) -> bool:
        """Whether every decode has ended and every event was read."""
        return self._num_open == 0 and not self._events

    async def next(self) -> list[tuple[int, Event]]:
        """Return all events since the last call, with their keys.

        Waits for at least one other event than `Started`, or for `wake`. Raises DeadlineExceededError after the
        deadline, or the error of `abort`.
        """
        while not self._is_due:
            if self._error is not None:
                raise self._error
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        self._is_due = False
        events, self._events, self._num_unread_bytes = self._events, [], 0
        if self._error is not None and not events:
            raise self._error
        return events

    def wake(self) -> None:
        """Let `next` return, with the events that there are."""
        self._is_due = True
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def close(self, *, linger_seconds: float = 0.0) -> None:
        """Stop reading. Decodes without other subscribers are cancelled, at once or after the linger.

        A second close, or one after the end, does nothing.
        """
        if self._is_closed:
            return
        self._is_closed = True
        if self._num_open and linger_seconds:
            asyncio.get_running_loop().call_later(linger_seconds, self._end)
        else:
            self._end()

    def expect(self) -> int:
        """Expect another decode and return its key."""
        key = self.num_decodes
        self.num_decodes += 1
        self._num_open += 1
        return key

    def push(self, key: int, event: Event) -> None:
        """Deliver an event. If more than MAX_UNREAD_BYTES are unread, everything is cancelled as by `abort`."""
        self._num_open -= is_terminal(event)
        if self._is_closed or self._error is not None:
            return
        self._events.append((key, event))
        self._num_unread_bytes += event_bytes(event)
        if self._num_unread_bytes > MAX_UNREAD_BYTES:
            self._error = TooLargeError(
                f"more than {MAX_UNREAD_BYTES} bytes of the answer wait to be read, which is the limit: "
                "read faster, or request fewer targets or extra fields"
            )
            asyncio.get_running_loop().call_soon(self._end)  # the pushing decode is iterating over its subscribers
        if not isinstance(event, Started):
            self.wake()

    def abort(self, error: Exception) -> None:
        """Cancel everything. The reader gets `error` after the events so far."""
        self._error = error
        self._end()
        self.wake()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _expire(self) -> None:
        self.abort(DeadlineExceededError("the time allowed for this request is over"))

    def _end(self) -> None:
        self.has_left = True
        if self._timer is not None:
            self._timer.cancel()
        self._leave(self)
