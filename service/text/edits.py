"""Edit a text that consists of the deltas of tokens."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """Inserts `text` at `place` of a text, and removes the `num_removed` characters that follow `place`."""

    place: int
    text: str
    num_removed: int = 0


def edited(deltas: Sequence[str], edits: Sequence[Edit]) -> list[str]:
    """Return as many deltas as before, but at least one; joined, they are the edited text.

    `edits` are in order and do not overlap. Text inserted between two deltas goes to the first of them, or to the
    second if it replaces a part of the second.
    """
    text = "".join(deltas)
    waiting = deque(edits)
    changed: list[str] = []
    start = end = 0
    for old in deltas:
        end += len(old)
        delta = ""
        while waiting and (waiting[0].place < end or (waiting[0].place == end and not waiting[0].num_removed)):
            edit = waiting.popleft()
            delta += text[start : edit.place] + edit.text
            start = max(start, edit.place + edit.num_removed)
        changed.append(delta + text[start:end])
        start = max(start, end)
    rest = "".join(edit.text for edit in waiting)
    return [*changed[:-1], changed[-1] + rest] if changed else [rest]
