"""A running request: turns the events of its decodes into tokens and translations.

`next` does a slice of the work that is due and returns. A slice is bounded by the bytes of answer that it makes, about
2 ms of work, so the event loop gets its turn between slices.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.search.spec import DecodeSpec
from service.engine.engine import Engine
from service.engine.events import Event, Failed, Started
from service.engine.subscription import Subscription
from service.errors import EngineFailedError
from service.observability.timeline import Timeline
from service.translation.answer_size import EVENT_BYTES, event_bytes, translation_bytes
from service.translation.decoded_text import DecodedText
from service.translation.observer import TranslationObserver
from service.translation.passage import Passage
from service.translation.prepared import PreparedTranslation
from service.translation.reading_order import Item, ReadingOrder
from service.translation.rest import Part
from service.translation.results import TokenEvent, Translation, Usage

SLICE_BYTES = 32_000
FOLLOW_UP_BYTES = 4_000
"""Cutting, tokenizing and submitting the second leg of a sentence takes as long as making this many bytes of answer."""
WEAVING_BYTES = 10
"""The bytes of answer whose work equals inserting one inset into a target, for each token of the target."""


@dataclass(slots=True, eq=False)
class _Reading:
    """A target text while it is read. `translation` is set at its end."""

    items: Iterator[Item]
    translation: Translation | None = None


class ActiveTranslation:
    """A submitted request. Call `next` until `is_over`; call `close` then, or at any time before."""

    def __init__(
        self, prepared: PreparedTranslation, engine: Engine, subscription: Subscription, observer: TranslationObserver
    ) -> None:
        request = prepared.request
        self.target_texts = prepared.target_texts
        self.models = prepared.models
        self.num_texts = len(request.texts)
        self.timeline = Timeline(admitted_at=prepared.admitted_at, submitted_at=time.monotonic())
        self._request = request
        self._passages = prepared.passages
        self._rest = prepared.rest
        self._engine = engine
        self._subscription = subscription
        self._observer = observer
        self._events: deque[tuple[int, Event]] = deque()
        self._unread = deque(prepared.target_texts)
        self._readings: list[_Reading] = []
        self._due: deque[_Reading] = deque()
        self._waiting: defaultdict[DecodedText | Passage, list[_Reading]] = defaultdict(list)
        self._num_open = len(self._unread)
        if self._rest is not None:
            self._rest.watch(subscription.wake)

    @property
    def usage(self) -> Usage:
        return self._passages.usage

    @property
    def is_over(self) -> bool:
        """Whether all translations have been returned."""
        return self._num_open == 0

    async def next(self) -> list[TokenEvent | Translation]:
        """The next items to send, at least one: a slice of up to `SLICE_BYTES` and one more item.

        Raises EngineFailedError, DeadlineExceededError or DrainingError, TooLargeError if the answer outgrows its
        limit, or an error of preparing the rest.
        """
        if self._has_more:
            await asyncio.sleep(0)
        batch: list[TokenEvent | Translation] = []
        while True:
            work = 0
            while self._events and work < SLICE_BYTES:
                work += self._receive(*self._events.popleft())
            while work < SLICE_BYTES and (self._due or self._start_next()):
                work += self._read(self._due[0], batch, max_work=SLICE_BYTES - work)
            if self._rest is not None and self._rest.has_news:
                self._take(self._rest.take())
            if batch:
                if self._rest is not None:
                    self._rest.note_tokens()
                return batch
            if self._has_more:
                await asyncio.sleep(0)
            else:
                self._events.extend(await self._subscription.next())

    async def drain(self) -> list[Translation]:
        """All translations, by text, then by target, in the order of the request. Raises the errors of `next`."""
        while not self.is_over:
            await self.next()
        self.timeline.decoded_at = time.monotonic()
        return [reading.translation for reading in self._readings if reading.translation is not None]

    def close(self, *, linger_seconds: float = 0.0) -> None:
        """Stop reading: cancel unfinished decodes after the linger."""
        if self._rest is not None:
            self._rest.close()
        self._subscription.close(linger_seconds=linger_seconds)

    @property
    def _has_more(self) -> bool:
        """Whether there is work that needs no further event."""
        return bool(self._events or self._due or self._unread or (self._rest is not None and self._rest.has_news))

    def _start_next(self) -> bool:
        """Start reading the next target text, if there is one."""
        if not self._unread:
            return False
        order = ReadingOrder(
            self._unread.popleft(),
            num_hypotheses=self._request.num_hypotheses,
            with_tokens=self._request.with_tokens,
            is_streamed=self._request.is_streamed,
        )
        self._readings.append(_Reading(order.read()))
        self._due.append(self._readings[-1])
        return True

    def _receive(self, key: int, event: Event) -> int:
        """Handle an event. Returns the work in bytes of answer."""
        decoded = self._passages.decoded[key]
        match event:
            case Started():
                self._note_start(decoded, event)
                return EVENT_BYTES
            case Failed(detail=detail):
                raise EngineFailedError(detail)
        num_tokens = len(event.tokens)
        if num_tokens and decoded.is_read and self._request.is_streamed:
            self._observe_pace(decoded)
        continuation = decoded.receive(event)
        self.usage.generated_tokens += num_tokens * decoded.num_sentences
        self._passages.answer.add(num_tokens * decoded.bytes_per_token)
        num_following = self._follow_up(decoded, continuation)
        self._due.extend(self._waiting.pop(decoded, ()))
        token_bytes = self._passages.answer.token_bytes(len(decoded.spec.source_ids))
        weaving = WEAVING_BYTES * decoded.take_weaving_work()
        return EVENT_BYTES + num_tokens * token_bytes + num_following * FOLLOW_UP_BYTES + weaving

    def _follow_up(self, decoded: DecodedText, continuation: DecodeSpec | None) -> int:
        """Begin the decodes that follow `decoded`: its continuation, or second legs. Returns how many there are."""
        num_following = 0
        if continuation is not None:
            self._passages.go_on(decoded, continuation)
            num_following = 1
        elif decoded.is_over:
            num_following = self._passages.relay(decoded)
        self._submit_new()
        return num_following

    def _take(self, parts: Sequence[Part]) -> None:
        """Submit the sentences of the next parts, and go on reading texts that waited for them."""
        for part in parts:
            self._passages.extend(part)
            for passage, _ in part.passages:
                self._due.extend(self._waiting.pop(passage, ()))
        self._submit_new()

    def _submit_new(self) -> None:
        specs = self._passages.take_new()
        if specs:
            request = self._request
            decodes = self._engine.prepare(specs, is_cacheable=request.is_cacheable)
            self._engine.extend(self._subscription, decodes, is_streamed=request.is_streamed)

    def _read(self, reading: _Reading, batch: list[TokenEvent | Translation], *, max_work: int) -> int:
        """Read the first text that is due; it stays due while there is more. Returns the work in bytes of answer."""
        work = EVENT_BYTES
        for item in reading.items:
            match item:
                case TokenEvent():
                    batch.append(item)
                    work += event_bytes(item)
                case DecodedText():
                    if not item.is_over:
                        self._waiting[item].append(reading)
                        break
                    work += EVENT_BYTES + WEAVING_BYTES * item.take_weaving_work()
                case Passage():
                    self._waiting[item].append(reading)
                    break
                case Translation():
                    reading.translation = item
                    self._num_open -= 1
                    batch.append(item)
                    work += translation_bytes(item)
                    break
            if work >= max_work:
                return work
        self._due.popleft()
        return work

    def _note_start(self, decoded: DecodedText, event: Started) -> None:
        """Count the encoder cache hits and misses of a decode that has started.

        The source may have been encoded for the first sentence, but not for the others. The source of a continuation
        has been counted already.
        """
        started_at = event.started_at or time.monotonic()
        self.timeline.start_sentence(started_at, encode_seconds=event.encode_seconds if event.encoded else 0.0)
        if decoded.has_started:
            return
        self.usage.encoder_cache_misses += event.encoded
        self.usage.encoder_cache_hits += decoded.num_sentences - event.encoded
        decoded.has_started = True

    def _observe_pace(self, decoded: DecodedText) -> None:
        now = time.monotonic()
        if decoded.last_token_at is not None:
            self._observer.observe_next_token(now - decoded.last_token_at)
        elif not self.timeline.first_token_at:
            self.timeline.first_token_at = now
            self._observer.observe_first_token(now - self.timeline.admitted_at)
        decoded.last_token_at = now
