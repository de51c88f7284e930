"""One piece of work in flight, and its subscribers.

Equal specs in flight share one decode. A subscriber that joins late first receives all earlier events. A subscriber
that leaves does not end the decode for the others. When a worker dies, another one decodes the same again; tokens that
were already delivered are verified and skipped.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from model.search.results import Hypothesis, Progress, Token
from model.search.spec import DecodeSpec
from service.cache.values import OutputKey
from service.engine.events import Event, Failed, Started, is_terminal
from service.engine.owner import Owner, Priority
from service.engine.subscription import Subscription
from service.engine.types import EncodedWork
from service.engine.worker_handle import WorkerHandle

SourceKey = tuple[str, tuple[int, ...]]
"""A checkpoint's name, and the token ids of a source."""


@dataclass(frozen=True, slots=True)
class PreparedDecode:
    """A spec, its message to a worker, and its key in the encoder cache; None: the output is not cached."""

    spec: DecodeSpec
    message: bytes
    output_key: OutputKey | None


@dataclass(slots=True, eq=False)
class SourceInFlight:
    """A source, counted by the open decodes that use it."""

    num_uses: int = 0
    worker: WorkerHandle | None = None
    """The worker that has it encoded."""
    encoder: int | None = None
    """The decode whose report will contain the encoder output."""
    held: list[int] = field(default_factory=list)
    """Decodes that wait for this output to take it to another worker."""


@dataclass(slots=True, eq=False)
class Decode:
    """A spec in flight. It has no worker while it waits to be placed, and once it is over.

    `cost` is as in `decode_cost`, when it was opened.
    """

    decode_id: int
    owner: Owner
    cost: int
    prepared: PreparedDecode
    source: SourceInFlight
    is_streamed: bool
    subscribers: dict[Subscription, int] = field(default_factory=dict)
    """Subscribers, with their own keys for the decode."""
    worker: WorkerHandle | None = None
    encoder_output: bytes | None = None
    """An encoder output from the cache, until it is sent to a worker."""
    fresh_output: bytes | None = None
    """An encoder output from a worker, until it is passed to the shared cache, after an answer is out."""
    came_with_output: bool = False
    is_waiting: bool = True
    is_aboard: bool = False
    """Whether it has rows in its worker, or is about to get them."""
    is_over: bool = False
    num_deaths: int = 0
    """Deaths of workers that it was aboard."""
    has_started: bool = False
    tokens: list[Token] = field(default_factory=list)
    hypotheses: tuple[Hypothesis, ...] = ()
    num_verified: int = 0
    """The number of `tokens` that the current worker has decoded."""

    @property
    def spec(self) -> DecodeSpec:
        return self.prepared.spec

    @property
    def source_key(self) -> SourceKey:
        return self.spec.checkpoint, self.spec.source_ids

    @property
    def priority(self) -> Priority:
        return self.owner.priority

    def replay(self) -> None:
        """Start over in another worker, after the death of its worker."""
        self.num_deaths += self.is_aboard
        self.is_aboard = False
        self.num_verified = 0

    def receive(self, event: Event) -> Event | None:
        """The part of an event that is new to subscribers; a Failed if a replay decodes something else."""
        news: Event | None = event
        if isinstance(event, Started):
            news = None if self.has_started else event
            self.has_started = True
        elif isinstance(event, Progress):
            news = self._beyond_delivered(event)
        self.is_over = news is not None and is_terminal(news)
        return news

    def so_far(self) -> Iterator[Event]:
        """All events so far, for a subscriber that has just joined. The decode must not have failed."""
        if self.has_started:
            yield Started(self.decode_id, queue_seconds=0.0, encoded=False)
        if self.tokens or self.hypotheses:
            yield Progress(self.decode_id, self.tokens.copy(), self.hypotheses)

    def _beyond_delivered(self, event: Progress) -> Event | None:
        delivered = self.tokens[self.num_verified : self.num_verified + len(event.tokens)]
        if [each.token_id for each in delivered] != [each.token_id for each in event.tokens[: len(delivered)]]:
            return Failed(self.decode_id, "its worker died, and the replay decoded different tokens")
        fresh = event.tokens[len(delivered) :]
        self.tokens += fresh
        self.hypotheses = event.hypotheses
        self.num_verified += len(event.tokens)
        return Progress(self.decode_id, fresh, event.hypotheses) if fresh or event.hypotheses else None


def to_message(decode: Decode, *, returns_encoder_output: bool) -> EncodedWork:
    return EncodedWork(
        decode_id=decode.decode_id,
        client=decode.owner.client,
        request_id=decode.owner.request_id,
        cost=decode.cost,
        spec=msgspec.Raw(decode.prepared.message),
        priority=decode.priority,
        is_streamed=decode.is_streamed,
        returns_encoder_output=returns_encoder_output,
    )
