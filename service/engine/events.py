"""The events of a decode for its subscribers: one `Started`, then any number of `Progress`, or a `Failed`.

The last event is a `Progress` with hypotheses, or a `Failed`.
"""

import msgspec

from model.search.results import Progress


class Started(msgspec.Struct, frozen=True, array_like=True):
    """A waiting decode got its rows. `encoded` is false if the encoder output came from the cache or an equal source.

    `started_at` is in seconds of the monotonic clock, or 0 for a subscriber that joins a decode after its start.
    `encode_seconds` is the time to encode all sources of the same turn.
    """

    decode_id: int
    queue_seconds: float
    encoded: bool
    started_at: float = 0.0
    encode_seconds: float = 0.0


class Failed(msgspec.Struct, frozen=True, array_like=True):
    """The decode ended without a result."""

    decode_id: int
    detail: str


Event = Started | Progress | Failed


def is_terminal(event: Event) -> bool:
    """Whether `event` is the last one of its decode."""
    return isinstance(event, Failed) or (isinstance(event, Progress) and bool(event.hypotheses))
