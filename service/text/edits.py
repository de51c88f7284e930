"""Changes to a text that is made of the deltas of tokens."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """At `place` of a text: `text` goes in, and `num_removed` characters after it go out."""

    place: int
    text: str
    num_removed: int = 0


def edited(deltas: Sequence[str], edits: Sequence[Edit]) -> list[str]:
    """As many deltas, at least one, that make the edited text. `edits` are in order and do not overlap.

    What goes in where one delta ends and the next begins goes with the first, or with the next if it replaces a part
    of it.
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
