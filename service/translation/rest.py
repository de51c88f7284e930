"""The rest of a long text, which a thread prepares while the first sentences are decoded already."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from service.translation.passage import Passage
from service.translation.routing import Route
from service.translation.source_text import SourcePart

PAUSE_SECONDS = 0.02
"""The longest pause for the first token. Other requests need the thread, too."""


class Part(NamedTuple):
    """The next part of a text, and the passages that it belongs to, with their routes."""

    source: SourcePart
    passages: Sequence[tuple[Passage, Route]]


class Rest:
    """Created in the event loop. `begin`, `add` and `fail` are called in the thread, everything else in the loop."""

    def __init__(self, cancelled: threading.Event) -> None:
        """`cancelled` stops the preparation."""
        self._cancelled = cancelled
        self._loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[None] = self._loop.create_future()
        """Done when the first sentences may be submitted."""
        self._parts: deque[Sequence[Part]] = deque()
        self._error: Exception | None = None
        self._on_news: Callable[[], None] | None = None
        self._has_first_token = threading.Event()

    def begin(self) -> None:
        """Let the first sentences be submitted, and leave the machine to them until the first token."""
        self._loop.call_soon_threadsafe(self._begin)
        self._has_first_token.wait(PAUSE_SECONDS)

    def add(self, parts: Sequence[Part]) -> None:
        self._loop.call_soon_threadsafe(self._add, parts, None)

    def fail(self, error: Exception) -> None:
        """The preparation ended with an error."""
        self._loop.call_soon_threadsafe(self._add, (), error)

    @property
    def has_news(self) -> bool:
        """Whether `take` returns parts or raises."""
        return bool(self._parts)

    def take(self) -> Sequence[Part]:
        """The next parts. Raises the error of the preparation."""
        parts = self._parts.popleft()
        if self._error is not None and not self._parts:
            raise self._error
        return parts

    def watch(self, on_news: Callable[[], None]) -> None:
        """Call `on_news` whenever there are parts to take."""
        self._on_news = on_news

    def note_tokens(self) -> None:
        """There is a first token."""
        self._has_first_token.set()

    def close(self) -> None:
        """Stop the preparation: nobody takes its parts any more."""
        self._on_news = None
        self._cancelled.set()

    def _begin(self) -> None:
        if not self.begun.done():
            self.begun.set_result(None)

    def _add(self, parts: Sequence[Part], error: Exception | None) -> None:
        self._parts.append(parts)
        self._error = error
        if self._on_news is not None:
            self._on_news()
