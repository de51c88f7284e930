"""What a submitter holds: the stream of its sequences' events."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Self

from service.engine.types import SequenceEvent, is_terminal
from service.errors import DeadlineExceededError


class EngineStream:
    """Events of one `submit`, as lists: all that has come since the last. Ends when every sequence has ended.

    Raises DeadlineExceededError when `deadline`, in the event loop's time, passes first, or what it was aborted with.
    `aclose` cancels what is open.
    """

    def __init__(self, *, deadline: float | None, cancel: Callable[[list[int]], None]) -> None:
        self._events: deque[SequenceEvent] = deque()
        self._arrived = asyncio.Event()
        self._sequence_ids: list[int] = []
        self._num_open = 0
        self._error: Exception | None = None
        self._cancel = cancel
        self._timer = None if deadline is None else asyncio.get_running_loop().call_at(deadline, self._expire)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[SequenceEvent]:
        while not self._events:
            if self._num_open == 0:
                raise StopAsyncIteration
            if self._error is not None:
                raise self._error
            self._arrived.clear()
            await self._arrived.wait()
        events = list(self._events)
        self._events.clear()
        return events

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
        self._arrived.set()

    def abort(self, error: Exception) -> None:
        """End the stream with `error`, once what has come before is read."""
        self._error = error
        self._arrived.set()

    def _expire(self) -> None:
        self.abort(DeadlineExceededError("the time allowed for this request is over"))
