"""Texts to sequences, and their events back to text.

A job's texts are cut into sentences; each (sentence, target) is one `Sequence`, and all decode side by side. Where a
pair has no checkpoint, each sentence goes through a third language by itself: its second half begins as soon as its
first is said, while others are still on their first. A plain answer is the same stream, drained; its sentences come
whole.
"""

import asyncio
import time
from dataclasses import dataclass

from model.search.types import Sampling, SearchRequest
from service.engine.client import EngineClient
from service.engine.stream import EngineStream
from service.engine.types import Priority, Sequence, SequenceEvent, SequenceFailed, SequenceProgress, SequenceStarted
from service.errors import EngineFailedError, TooLargeError, UnsupportedOptionError
from service.observability.metrics import Metrics
from service.observability.timeline import Timeline
from service.translation.reading_order import Sentence, Unit
from service.translation.results import Token, Translation, Usage
from service.translation.routing import Catalogue, Leg, Route

INLINE_CHARACTERS = 2_000
"""Texts up to this long are prepared on the event loop; longer ones in a thread, so that streams keep their pace."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a client asks for. `max_new_tokens` is per sentence; None leaves it, and the penalty, to the server.

    `prefix` is what the first sentence of the one text starts with in the one target language.
    """

    texts: tuple[str, ...]
    source_lang: str
    target_langs: tuple[str, ...]
    model: str | None = None
    beam_size: int = 1
    num_hypotheses: int = 1
    max_new_tokens: int | None = None
    length_penalty: float | None = None
    sampling: Sampling | None = None
    prefix: str = ""
    with_tokens: bool = False
    num_top_tokens: int = 0
    with_alignment: bool = False
    priority: Priority = "interactive"
    repetition_guard: bool = True
    is_streamed: bool = False
    is_cacheable: bool = True


class ActiveTranslation:
    """An admitted job: ask for what is `next` until it `is_over`; `aclose` cancels what has not been decoded."""

    def __init__(self, job: Job, routes: list[Route], client: EngineClient, metrics: Metrics) -> None:
        """Cuts and tokenizes, which takes a while for a long text; safe outside the event loop."""
        self.usage = Usage(characters=sum(map(len, job.texts)))
        self.timeline = Timeline(admitted_at=time.monotonic())
        self._job = job
        self._client = client
        self._metrics = metrics
        self._stream: EngineStream | None = None
        self._by_id: dict[int, tuple[Unit, Sentence]] = {}
        self.units = [
            self._make_unit(text_index, text, route) for text_index, text in enumerate(job.texts) for route in routes
        ]
        self._passed_through = [each for unit in self.units if not unit.sentences for each in unit.pass_through()]

    @property
    def num_texts(self) -> int:
        return len(self._job.texts)

    @property
    def models(self) -> list[str]:
        """The names of the checkpoints that it goes through, in the order of their first use."""
        return list(dict.fromkeys(leg.model.name for unit in self.units for leg in unit.route.legs))

    def submit(self, *, deadline: float) -> None:
        """Queue all first legs. Raises NotReadyError and QueueFullError."""
        sequences = [sentence.sequence for unit in self.units for sentence in unit.sentences]
        self.timeline.submitted_at = time.monotonic()
        self._stream = self._client.submit(sequences, deadline=deadline)

    @property
    def is_over(self) -> bool:
        """Whether all has been said."""
        assert self._stream is not None, "asked before it was submitted"
        return self._stream.is_over and not self._passed_through

    async def next(self) -> list[Token | Translation]:
        """What is to be said next, at least one thing. Raises EngineFailedError and DeadlineExceededError."""
        assert self._stream is not None, "asked before it was submitted"
        released, self._passed_through = self._passed_through, []
        while not released:
            released = [each for event in await anext(self._stream) for each in self._receive(event)]
        return released

    async def drain(self) -> list[Translation]:
        """All translations, by text, then by target, as asked."""
        translations: list[Translation] = []
        while not self.is_over:
            translations += [each for each in await self.next() if isinstance(each, Translation)]
        self.timeline.decoded_at = time.monotonic()
        order = {(unit.text_index, unit.route.target_lang): place for place, unit in enumerate(self.units)}
        return sorted(translations, key=lambda each: order[each.text_index, each.target_lang])

    async def aclose(self) -> None:
        if self._stream is not None:
            await self._stream.aclose()

    def _receive(self, event: SequenceEvent) -> list[Token | Translation]:
        unit, sentence = self._by_id[event.sequence_id]
        match event:
            case SequenceProgress():
                self.usage.generated_tokens += len(event.tokens)
                if sentence.is_last_leg:
                    if self._job.is_streamed and event.tokens:
                        self._observe_pace(sentence)
                    return unit.receive(sentence, event)
                sentence.receive(event)
                return self._start_next_leg(unit, sentence) if event.hypotheses else []
            case SequenceStarted(encoded=encoded, started_at=started_at, encode_seconds=encode_seconds):
                slot_at = started_at or time.monotonic()
                self.timeline.start_sentence(slot_at, encode_seconds=encode_seconds if encoded else 0.0)
                self.usage.encoder_cache_misses += encoded
                self.usage.encoder_cache_hits += not encoded
                return []
            case SequenceFailed(detail=detail):
                raise EngineFailedError(detail)

    def _start_next_leg(self, unit: Unit, sentence: Sentence) -> list[Token | Translation]:
        assert self._stream is not None, "an event came before anything was submitted"
        following = self._make_sentences(sentence.text, unit.route, after=sentence)
        self._register(unit, following)
        self._client.extend(self._stream, [each.sequence for each in following])
        return unit.replace(sentence, following)

    def _make_unit(self, text_index: int, text: str, route: Route) -> Unit:
        unit = Unit(
            text_index,
            route,
            source_text=text,
            sentences=self._make_sentences(text, route),
            num_hypotheses=self._job.num_hypotheses,
            with_tokens=self._job.with_tokens,
            is_streamed=self._job.is_streamed,
        )
        self._register(unit, unit.sentences)
        return unit

    def _register(self, unit: Unit, sentences: list[Sentence]) -> None:
        for sentence in sentences:
            self._by_id[sentence.sequence.sequence_id] = (unit, sentence)
            self.usage.source_tokens += len(sentence.sequence.source_ids)

    def _make_sentences(self, text: str, route: Route, *, after: Sentence | None = None) -> list[Sentence]:
        """The sentences of `text` on the first leg; on the leg that follows `after`, in whose place they stand."""
        leg_index = 0 if after is None else route.legs.index(after.leg) + 1
        leg = route.legs[leg_index]
        segmented, piece_ids = leg.model.segment(text, source_lang=leg.source_lang)
        separators = segmented.separators(route.target_lang)
        if after is not None:
            separators = [after.before + separators[0], *separators[1:-1], separators[-1] + after.after]
        is_last_leg = leg_index == len(route.legs) - 1
        sentences = []
        for place, sentence_ids in enumerate(piece_ids):
            index = place if after is None else after.index
            prefix = self._job.prefix if is_last_leg and index == place == 0 else ""
            prefix_ids = tuple(leg.model.tokenizer.encode_prefix(prefix)) if prefix else ()
            detokenizer = leg.model.tokenizer.detokenizer()
            for token_id in prefix_ids:
                detokenizer.push(token_id)
            sentences.append(
                Sentence(
                    self._make_sequence(sentence_ids, leg, prefix_ids, is_last_leg=is_last_leg),
                    index,
                    leg,
                    is_last_leg=is_last_leg,
                    before=separators[place] + prefix,
                    after=separators[-1] if place == len(piece_ids) - 1 else "",
                    detokenizer=detokenizer,
                    prefix_ids=prefix_ids,
                )
            )
        return sentences

    def _make_sequence(
        self, piece_ids: list[int], leg: Leg, prefix_ids: tuple[int, ...], *, is_last_leg: bool
    ) -> Sequence:
        """Raises UnsupportedOptionError for a prefix that leaves no room after it."""
        job, tokenizer = self._job, leg.model.tokenizer
        prompt = (*tokenizer.decoder_prompt(leg.target_lang), *prefix_ids)
        limit = job.max_new_tokens if is_last_leg and job.max_new_tokens else leg.model.max_new_tokens
        max_new_tokens = min(limit, leg.model.max_new_tokens - len(prefix_ids))
        if max_new_tokens < 1:
            raise UnsupportedOptionError(
                f"prefix has {len(prefix_ids)} tokens; the limit is {leg.model.max_new_tokens - 1}"
            )
        request = SearchRequest(
            self._client.next_id(),
            prompt,
            max_new_tokens,
            beam_size=job.beam_size,
            num_hypotheses=job.num_hypotheses if is_last_leg else 1,
            length_penalty=job.length_penalty,
            sampling=job.sampling,
            repetition_guard=job.repetition_guard,
            num_top_tokens=job.num_top_tokens if is_last_leg else 0,
            with_alignment=job.with_alignment and is_last_leg,
            # A beam is scored as transformers scores it; else the score is the mean over what was generated.
            num_uncounted_tokens=1 if job.beam_size > 1 else len(prompt),
        )
        source_ids = tokenizer.frame_source(piece_ids, source_lang=leg.source_lang, target_lang=leg.target_lang)
        is_streamed = job.is_streamed and is_last_leg
        return Sequence(request, leg.model.index, tuple(source_ids), job.priority, is_streamed, job.is_cacheable)

    def _observe_pace(self, sentence: Sentence) -> None:
        now = time.monotonic()
        if sentence.last_token_at is not None:
            self._metrics.inter_token_latency.observe(now - sentence.last_token_at)
        elif not self.timeline.first_token_at:
            self.timeline.first_token_at = now
            self._metrics.time_to_first_token.observe(now - self.timeline.admitted_at)
        sentence.last_token_at = now


class Translator:
    """Admits jobs."""

    def __init__(self, catalogue: Catalogue, client: EngineClient, *, max_queue_tokens: int, metrics: Metrics) -> None:
        self._catalogue = catalogue
        self._client = client
        self._max_queue_tokens = max_queue_tokens
        self._metrics = metrics

    async def admit(self, job: Job, *, timeout_seconds: float) -> ActiveTranslation:
        """Queue a job's sentences. Every refusal, a ServiceError, happens here."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        routes = self._find_routes(job)
        if sum(map(len, job.texts)) <= INLINE_CHARACTERS:
            active = ActiveTranslation(job, routes, self._client, self._metrics)
        else:
            active = await asyncio.to_thread(ActiveTranslation, job, routes, self._client, self._metrics)
        if active.usage.source_tokens > self._max_queue_tokens:
            raise TooLargeError(
                f"the request has {active.usage.source_tokens} source tokens over all targets; "
                f"the limit is {self._max_queue_tokens}"
            )
        active.submit(deadline=deadline)
        return active

    def _find_routes(self, job: Job) -> list[Route]:
        routes = [self._catalogue.route(job.source_lang, target, model=job.model) for target in job.target_langs]
        for route in routes:
            limit = route.legs[-1].model.max_new_tokens
            if job.max_new_tokens is not None and job.max_new_tokens > limit:
                raise UnsupportedOptionError(f"max_new_tokens is {job.max_new_tokens}; the limit is {limit} a sentence")
            if job.beam_size > self._client.min_rows:
                raise UnsupportedOptionError(
                    f"beam_size is {job.beam_size}; a batch of this server has {self._client.min_rows} rows"
                )
        return list({route.target_lang: route for route in routes}.values())
