"""Run a coroutine at once up to its first wait, to see whether it has to wait at all.

Most bodies have arrived when they are read, and most refusals need no wait: there, a timeout or a watch would cost more
than what it guards. An eager task of Python 3.12 would see the same, but a task costs as much as they do.
"""

from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Eager(Generic[T]):
    """A coroutine whose first part has been run. Await it, in the same task, for its result."""

    __slots__ = ("_awaited", "_coroutine", "_result", "is_done")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        """Raises what the coroutine raises before its first wait."""
        self._coroutine = coroutine
        self.is_done = False
        try:
            self._awaited = coroutine.send(None)
        except StopIteration as end:
            self._end(end)

    def __await__(self) -> Generator[Any, Any, T]:
        while not self.is_done:
            try:
                yield self._awaited
            except BaseException as error:  # a cancellation, which the coroutine may survive
                try:
                    self._awaited = self._coroutine.throw(error)
                except StopIteration as end:
                    self._end(end)
            else:
                return (yield from self._coroutine.__await__())
        return self._result

    def _end(self, end: StopIteration) -> None:
        self._result: T = end.value
        self.is_done = True
