"""What the subscribers of a decode receive: one `Started`, any number of `Progress`, or a `Failed`.

The last event is a `Progress` with hypotheses, or the `Failed`.
"""

import msgspec

from model.search.results import Progress


class Started(msgspec.Struct, frozen=True, array_like=True):
    """A waiting decode got its rows. `encoded` is false where the cache, or an equal source, had the encoder output.

    `started_at` is in seconds of the monotonic clock, 0 for a subscriber that joins a decode which has started before;
    `encode_seconds` passed until everything that entered in the same turn was encoded.
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
