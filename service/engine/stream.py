"""What a submitter holds: the stream of its sequences' events."""

import asyncio
from collections.abc import Callable
from typing import Self

from service.engine.types import SequenceEvent, SequenceStarted, is_terminal
from service.errors import DeadlineExceededError


class EngineStream:
    """Events of one `submit`, as lists: all that has come since the last. Ends when every sequence has ended.

    A start alone makes no list: there is nothing to say before a token follows.

    Raises DeadlineExceededError when `deadline`, in the event loop's time, passes first, or what it was aborted with.
    `aclose` cancels what is open.
    """

    def __init__(
        self,
        *,
        deadline: float | None,
        cancel: Callable[[list[int]], None],
    ) -> None:
        self._events: list[SequenceEvent] = []
        self._is_due = False  # is there something that the reader must be woken for?
        self._reader: asyncio.Future[None] | None = None
        self._sequence_ids: list[int] = []
        self._num_open = 0
        self._error: Exception | None = None
        self._cancel = cancel
        self._timer = None if deadline is None else asyncio.get_running_loop().call_at(deadline, self._expire)

    @property
    def is_over(self) -> bool:
        """Whether every sequence has ended and all was read."""
        return self._num_open == 0 and not self._events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[SequenceEvent]:
        while True:
            if self._is_due:
                self._is_due = False
                if self._events:
                    events, self._events = self._events, []
                    return events
            if self._num_open == 0:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader

    async def aclose(self) -> None:
        """Cancel what has not ended; closing twice, or after the end, does nothing."""
        if self._timer is not None:
            self._timer.cancel()
        self._cancel(self._sequence_ids)

    def expect(self, sequence_id: int) -> None:
        """One more sequence belongs to this stream."""
        self._sequence_ids.append(sequence_id)
        self._num_open += 1

    def push(self, event: SequenceEvent) -> None:
        self._events.append(event)
        self._num_open -= is_terminal(event)
        if not isinstance(event, SequenceStarted):
            self._wake()

    def abort(self, error: Exception) -> None:
        """End the stream with `error`, once what has come before is read."""
        self._error = error
        self._wake()

    def _wake(self) -> None:
        self._is_due = True
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _expire(self) -> None:
        self.abort(DeadlineExceededError("the time allowed for this request is over"))
