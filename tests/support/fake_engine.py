"""An engine without workers, with scripted decodes and an order of events drawn from a seed.

It has the interface of `service.engine.engine.Engine` that a submitter uses. The script of a spec is its hypotheses,
best first.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any

from model.search.results import Details, Hypothesis, Progress, Token
from model.search.spec import DecodeSpec
from service.engine.events import Event, Failed, Started
from service.errors import NotReadyError, QueueFullError

EOS = 2
MAX_ROWS = 64
Script = Callable[[DecodeSpec], list[list[int]]]


def echo(spec: DecodeSpec) -> list[list[int]]:
    """The source as its own translation; the alternatives lack its last words."""
    pieces = [*spec.source_ids[1:-1], EOS]
    return [[*pieces[: len(pieces) - 1 - rank], EOS] for rank in range(spec.num_hypotheses)]


@dataclass(eq=False)
class FakeDecode:
    spec: DecodeSpec
    is_cacheable: bool


@dataclass(eq=False)
class FakeSubscription:
    engine: "FakeEngine"
    specs: dict[DecodeSpec, bool] = field(default_factory=dict)
    """Whether each spec is cacheable, with the specs in the order of their keys."""
    running: dict[int, list[Event]] = field(default_factory=dict)
    linger_seconds: float | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_over(self) -> bool:
        return not self.running

    async def next(self) -> list[tuple[int, Event]]:
        if not self.running:
            await self.woken.wait()
        self.woken.clear()
        if not self.running:
            return []
        random = self.engine.random
        events: list[tuple[int, Event]] = []
        while not any(isinstance(event, Progress | Failed) for _, event in events):
            num_rows = min(len(self.running), MAX_ROWS)
            for key in random.sample(list(islice(self.running, num_rows)), k=random.randint(1, num_rows)):
                events.append((key, self.running[key].pop(0)))
                if not self.running[key]:
                    del self.running[key]
        self.engine.num_events += len(events)
        return events

    def wake(self) -> None:
        self.woken.set()

    def close(self, *, linger_seconds: float = 0.0) -> None:
        self.linger_seconds = linger_seconds

    def add(self, decodes: Sequence[FakeDecode], *, is_streamed: bool) -> None:
        for decode in decodes:
            assert decode.spec not in self.specs, "a submitter gives no spec twice"
            self.running[len(self.specs)] = self.engine.events(decode.spec, is_streamed=is_streamed)
            self.specs[decode.spec] = decode.is_cacheable


class FakeEngine:
    def __init__(
        self, script: Script = echo, *, seed: int = 0, max_queue_tokens: int = 100_000, failure: str | None = None
    ) -> None:
        self.script = script
        self.random = Random(seed)
        self.max_queue_tokens = max_queue_tokens
        self.failure = failure
        self.is_ready = True
        self.is_full = False
        self.queue_tokens = 0
        self.num_prepared = 0
        self.num_events = 0
        self.subscriptions: list[FakeSubscription] = []
        self.submitted: list[dict[str, Any]] = []
        self._encoded: set[tuple[int, ...]] = set()

    @property
    def min_rows(self) -> int:
        if not self.is_ready:
            raise NotReadyError("no worker is ready yet", retry_after_seconds=1)
        return 8

    @property
    def specs(self) -> list[DecodeSpec]:
        return [spec for subscription in self.subscriptions for spec in subscription.specs]

    def expected_tokens(self, decodes: Sequence[Any]) -> int:
        return sum(len(each.spec.source_ids) for each in decodes)

    def prepare(self, specs: Sequence[DecodeSpec], *, is_cacheable: bool) -> list[FakeDecode]:
        self.num_prepared += len(specs)
        return [FakeDecode(spec, is_cacheable) for spec in specs]

    def submit(self, decodes: Sequence[FakeDecode], **options: Any) -> FakeSubscription:
        if self.is_full:
            raise QueueFullError("the queue is full", retry_after_seconds=1)
        self.submitted.append(options)
        subscription = FakeSubscription(self)
        subscription.add(decodes, is_streamed=options["is_streamed"])
        self.subscriptions.append(subscription)
        return subscription

    def extend(self, subscription: FakeSubscription, decodes: Sequence[FakeDecode], **options: Any) -> None:
        self.submitted.append(options)
        subscription.add(decodes, is_streamed=options["is_streamed"])

    def events(self, spec: DecodeSpec, *, is_streamed: bool) -> list[Event]:
        """All events of one decode, in order. The tokens of a beam may all come before its end."""
        started = Started(0, 0.0, spec.source_ids not in self._encoded, 1.0, 0.5)
        self._encoded.add(spec.source_ids)
        if self.failure is not None:
            return [started, Failed(0, self.failure)]
        hypotheses = tuple(
            Hypothesis(tuple(ids), (-0.5,) * len(ids), -0.5 - rank, "stop" if ids[-1] == EOS else "length")
            for rank, ids in enumerate(self.script(spec))
        )
        tokens = [Token(token_id, -0.123456, _details(spec)) for token_id in hypotheses[0].token_ids]
        if not is_streamed:
            return [started, Progress(0, tokens, hypotheses)]
        events: list[Event] = [started]
        while tokens and (len(tokens) > 1 or self.random.random() < (spec.beam_size > 1) / 2):
            num_tokens = self.random.randint(1, max(1, len(tokens) - 1))
            events.append(Progress(0, tokens[:num_tokens]))
            tokens = tokens[num_tokens:]
        return [*events, Progress(0, tokens, hypotheses)]


def _details(spec: DecodeSpec) -> Details:
    """Details with even attention, followed by the zeros of a batch's padding."""
    num_source_tokens = len(spec.source_ids)
    alignment = (*[1 / num_source_tokens] * num_source_tokens, 0.0, 0.0) if spec.with_alignment else ()
    return Details(tuple((EOS + rank, 0.5**rank) for rank in range(spec.num_top_tokens)), alignment)
