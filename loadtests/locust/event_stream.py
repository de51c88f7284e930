"""What the events of one answer say of it: when its tokens came, and whether it is whole."""

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
"""No decode step is so short: a token that follows its predecessor by less came with it."""


class EventStream:
    """Takes whole events, as the server writes them: they start with their name and have one line of data."""

    def __init__(self) -> None:
        self.token_times: list[float] = []
        self._last_event = b""

    def take(self, event: bytes, *, now: float) -> None:
        if event.startswith(TOKEN):
            self.token_times.append(now)
        if not event.startswith(COMMENT):
            self._last_event = event

    def failure(self) -> str:
        """Of a stream that has ended without a complaint from HTTP; "" of one that is whole."""
        if self._last_event.startswith(DONE):
            return ""
        if self._last_event.startswith(ERROR):
            return f"event: error: {problem_title(self._last_event.removeprefix(ERROR).removeprefix(DATA))}"
        return "a stream without done"


def waits(token_times: Sequence[float]) -> list[float]:
    """The times between tokens, but for those that came together.

    The sentences of a text decode side by side, so that most tokens are there already when it is their turn. Their
    times, all 0, would hide how long a reader waited for the others.
    """
    gaps = [after - before for before, after in pairwise(token_times)]
    return [gap for gap in gaps if gap >= TOGETHER_SECONDS]


def problem_title(body: bytes) -> str:
    """Without what differs from request to request, since failures are counted by what they say."""
    try:
        return str(json.loads(body)["title"])
    except (ValueError, KeyError, TypeError):
        return "not a problem object"
