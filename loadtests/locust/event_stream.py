"""The events of one answer: when its tokens arrived, and whether it is complete."""

import json
from collections.abc import Sequence
from itertools import pairwise

EVENT_END = b"\n\n"
DATA = b"data: "
COMMENT = b":"
TOKEN = b"event: token\n"
DONE = b"event: done\n"
ERROR = b"event: error\n"
TOGETHER_SECONDS = 0.0005
"""Shorter than any decode step: tokens closer than this arrived together."""


class EventStream:
    """Reads whole events as this server writes them: the name comes first, and data is one line."""

    def __init__(self) -> None:
        self.token_times: list[float] = []
        self._last_event = b""

    def take(self, event: bytes, *, now: float) -> None:
        if event.startswith(TOKEN):
            self.token_times.append(now)
        if not event.startswith(COMMENT):
            self._last_event = event

    def failure(self) -> str:
        """The failure of a stream that ended without an HTTP error; "" if it is complete."""
        if self._last_event.startswith(DONE):
            return ""
        if self._last_event.startswith(ERROR):
            return f"event: error: {problem_title(self._last_event.removeprefix(ERROR).removeprefix(DATA))}"
        return "a stream without done"


def waits(token_times: Sequence[float]) -> list[float]:
    """The times between tokens, without tokens that arrived together.

    The sentences of a text decode side by side, so most tokens are ready when their turn comes. Their times, all 0,
    would hide how long a reader waits for the others.
    """
    gaps = [after - before for before, after in pairwise(token_times)]
    return [gap for gap in gaps if gap >= TOGETHER_SECONDS]


def problem_title(body: bytes) -> str:
    """The title of a problem. Its detail differs by request, and failures are counted by their text."""
    try:
        return str(json.loads(body)["title"])
    except (ValueError, KeyError, TypeError):
        return "not a problem object"
