"""The events of a decode for its subscribers: one `Started`, then any number of `Progress`, or a `Failed`.

The last event is a `Progress` with hypotheses, or a `Failed`.
"""

import msgspec

from model.search.results import Progress

TOKEN_EVENT_BYTES = 150
"""About the bytes of the JSON of a token event in a stream, without extra fields."""
TOP_TOKEN_BYTES = 60
WEIGHT_BYTES = 9
"""The bytes of an entry of `top_tokens`, and of a weight of `alignment`."""


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


def event_bytes(event: Event) -> int:
    """About the bytes of the JSON that a stream has for an event."""
    if not isinstance(event, Progress) or not event.tokens:
        return 0
    details = event.tokens[0].details
    return len(event.tokens) * token_event_bytes(len(details.top_tokens), num_weights=len(details.alignment))


def token_event_bytes(num_top_tokens: int, *, num_weights: int) -> int:
    return TOKEN_EVENT_BYTES + TOP_TOKEN_BYTES * num_top_tokens + WEIGHT_BYTES * num_weights
