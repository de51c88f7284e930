"""What a submitter holds: the stream of its sequences' events."""

import asyncio
from collections.abc import Callable
from typing import Self

from service.engine.types import SequenceEvent, is_terminal
from service.errors import DeadlineExceededError


class EngineStream:
    """Events of one `submit`, as lists: all that has come since the last. Ends when every sequence has ended.

    Raises DeadlineExceededError when `deadline`, in the event loop's time, passes first, or what it was aborted with.
    `aclose` cancels what is open. `on_event` is told of each event as it comes, before it is read.
    """

    def __init__(
        self,
        *,
        deadline: float | None,
        cancel: Callable[[list[int]], None],
        on_event: Callable[[SequenceEvent], None] | None = None,
    ) -> None:
        self._events: list[SequenceEvent] = []
        self._is_due = False  # is there something that the reader must be woken for?
        self._reader: asyncio.Future[None] | None = None
        self._skips_progress = False
        self._sequence_ids: list[int] = []
        self._num_open = 0
        self._error: Exception | None = None
        self._cancel = cancel
        self._on_event = on_event
        self._timer = None if deadline is None else asyncio.get_running_loop().call_at(deadline, self._expire)

    def read_only_ends(self) -> None:
        """From now on each list lasts to the end of a sequence: who says nothing before need not wake each step."""
        self._skips_progress = True

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
        if self._on_event is not None:
            self._on_event(event)
        self._events.append(event)
        has_ended = is_terminal(event)
        self._num_open -= has_ended
        if has_ended or not self._skips_progress:
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
