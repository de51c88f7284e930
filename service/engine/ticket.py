"""One decode on its way through the workers, and those who listen to it.

Equal sequences in flight share one decode, and equal sources one encoding. Who comes to a decode later is told first
what was told before, and who leaves it does not end it for the others.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from model.search.types import Hypothesis, Token
from service.cache.values import OutputKey
from service.engine.stream import EngineStream
from service.engine.supervisor import Worker
from service.engine.types import Sequence, SequenceEvent, SequenceFailed, SequenceProgress, SequenceStarted, is_terminal

SourceId = tuple[int, tuple[int, ...]]
"""A checkpoint, and the token ids of a source."""


def source_id(sequence: Sequence) -> SourceId:
    return sequence.checkpoint, sequence.source_ids


class Listener(NamedTuple):
    """Who is told of a decode, under a sequence id of its own."""

    stream: EngineStream
    sequence_id: int


@dataclass(slots=True, eq=False, weakref_slot=True)
class SourceInFlight:
    """What the tickets of equal sources share, which goes with the last of them: the worker that encodes it for all."""

    worker: Worker | None = None


@dataclass(slots=True, eq=False)
class Ticket:
    """From submit until nobody listens any more; without a worker while none is ready, and once it is over."""

    sequence: Sequence
    source: SourceInFlight
    is_warm_up: bool = False
    output_key: OutputKey | None = None
    """The cache key of its encoder output; None: it is not to be cached."""
    listeners: list[Listener] = field(default_factory=list)
    worker: Worker | None = None
    encoder_output: bytes | None = None
    """What the cache had."""
    fresh_output: bytes | None = None
    """What a worker has encoded: for the shared cache, once an answer is out."""
    is_waiting: bool = True
    is_over: bool = False
    was_replayed: bool = False
    _has_started: bool = False
    _tokens: list[Token] = field(default_factory=list)
    _hypotheses: tuple[Hypothesis, ...] = ()
    _echo: list[Token] = field(default_factory=list)
    """Of the tokens told, all that a replay has not said again yet."""

    @property
    def sequence_id(self) -> int:
        """The workers' name for it: the id of the first who asked for it, who may have left."""
        return self.sequence.sequence_id

    @property
    def num_source_tokens(self) -> int:
        return len(self.sequence.source_ids)

    def replay(self) -> None:
        """Its worker died; another one says all again."""
        self.was_replayed, self._echo = True, self._tokens.copy()

    def news(self, event: SequenceEvent) -> SequenceEvent | None:
        """What of an event was not told yet; a failure where a replay says something else than was told."""
        news: SequenceEvent | None = event
        if isinstance(event, SequenceStarted):
            news = None if self._has_started else event
            self._has_started = True
        elif isinstance(event, SequenceProgress) and self._echo:
            news = self._beyond_echo(event)
        if isinstance(news, SequenceProgress):
            self._tokens += news.tokens
            self._hypotheses = news.hypotheses
        self.is_over = news is not None and is_terminal(news)
        return news

    def so_far(self, sequence_id: int) -> Iterator[SequenceEvent]:
        """All that was told, for somebody who has just come; it has not failed."""
        if self._has_started:
            yield SequenceStarted(sequence_id, 0.0, encoded=False)
        if self._tokens or self._hypotheses:
            yield SequenceProgress(sequence_id, self._tokens.copy(), self._hypotheses)

    def _beyond_echo(self, event: SequenceProgress) -> SequenceEvent | None:
        said, self._echo = self._echo[: len(event.tokens)], self._echo[len(event.tokens) :]
        if [each.token_id for each in said] != [each.token_id for each in event.tokens[: len(said)]]:
            return SequenceFailed(event.sequence_id, "its worker died, and the replay said otherwise")
        fresh = event.tokens[len(said) :]
        return SequenceProgress(event.sequence_id, fresh, event.hypotheses) if fresh or event.hypotheses else None


def addressed(event: SequenceEvent, listener: Listener) -> SequenceEvent:
    """The event as that listener knows the sequence; what is encoded for the first is not encoded for another."""
    if event.sequence_id == listener.sequence_id:
        return event
    match event:
        case SequenceStarted(queue_seconds=queue_seconds, started_at=started_at):
            return SequenceStarted(listener.sequence_id, queue_seconds, encoded=False, started_at=started_at)
        case SequenceProgress(tokens=tokens, hypotheses=hypotheses):
            return SequenceProgress(listener.sequence_id, tokens, hypotheses)
        case SequenceFailed(detail=detail):
            return SequenceFailed(listener.sequence_id, detail)
