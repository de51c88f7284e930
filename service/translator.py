"""Texts to sequences, and their events back to text in reading order.

A job's texts are cut into sentences; each (sentence, target) is one `Sequence`, and all decode side by side. Tokens of
a sentence whose turn has not come are held back, so that the deltas of one text and target, joined in the order sent,
are its translation. A plain answer is the same stream, drained.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field

from model.config import Checkpoint
from model.detokenizer import IncrementalDetokenizer
from model.tokenizer import Tokenizer
from service.engine.client import EngineClient
from service.engine.stream import EngineStream
from service.engine.types import (
    FinishReason,
    Priority,
    Sequence,
    SequenceEvent,
    SequenceFailed,
    SequenceStarted,
    TokenEvent,
)
from service.errors import EngineFailedError, TooLargeError, UnsupportedLanguageError, UnsupportedOptionError
from service.metrics import Metrics
from service.text.segmentation import segment

INLINE_CHARACTERS = 2_000
"""Texts up to this long are prepared on the event loop; longer ones in a thread, so that streams keep their pace."""
SCORE_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Job:
    """What a client asks for. `max_new_tokens` is per sentence; None leaves it, and the penalty, to the server."""

    texts: tuple[str, ...]
    source_lang: str
    target_langs: tuple[str, ...]
    max_new_tokens: int | None = None
    length_penalty: float | None = None
    priority: Priority = "interactive"
    repetition_guard: bool = True


@dataclass(frozen=True, slots=True)
class Token:
    """One chosen token. `text` is the delta; joined over a text and target, the deltas are the translation.

    A text without a letter or digit in it is its own translation, as one delta without a token.
    """

    text_index: int
    target_lang: str
    sentence_index: int
    text: str
    token_id: int | None
    logprob: float | None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Translation:
    """One text in one language. `score` is the mean log-probability of a token, with the length penalty applied."""

    text_index: int
    target_lang: str
    text: str
    score: float
    finish_reason: FinishReason
    hypotheses: list[Hypothesis]


@dataclass(slots=True)
class Usage:
    source_tokens: int = 0
    generated_tokens: int = 0
    characters: int = 0
    encoder_cache_hits: int = 0
    encoder_cache_misses: int = 0


@dataclass(slots=True, eq=False)
class _Sentence:
    sequence: Sequence
    index: int
    before: str
    after: str
    detokenizer: IncrementalDetokenizer
    held_tokens: list[Token] = field(default_factory=list)
    num_tokens: int = 0
    sum_logprobs: float = 0.0
    finish_reason: FinishReason | None = None
    last_token_at: float = 0.0


@dataclass(slots=True, eq=False)
class _Unit:
    """One text in one target language. `current` is the sentence whose turn it is."""

    text_index: int
    target_lang: str
    passed_through: str
    sentences: list[_Sentence]
    length_penalty: float
    current: int = 0
    deltas: list[str] = field(default_factory=list)

    def receive(self, sentence: _Sentence, event: TokenEvent) -> list[Token | Translation]:
        """Take a token of one of the unit's sentences; return what has its turn now."""
        text = sentence.detokenizer.push(event.token_id)
        if sentence.num_tokens == 0:
            text = sentence.before + text
        if event.finish_reason is not None:
            text += sentence.detokenizer.finish() + sentence.after
        sentence.num_tokens += 1
        sentence.sum_logprobs += event.logprob
        sentence.finish_reason = event.finish_reason
        logprob = round(event.logprob, SCORE_DIGITS)
        token = Token(self.text_index, self.target_lang, sentence.index, text, event.token_id, logprob)
        sentence.held_tokens.append(token)
        return self._release()

    def _release(self) -> list[Token | Translation]:
        released: list[Token | Translation] = []
        while self.current < len(self.sentences):
            sentence = self.sentences[self.current]
            self.deltas += [token.text for token in sentence.held_tokens]
            released += sentence.held_tokens
            sentence.held_tokens = []
            if sentence.finish_reason is None:
                return released
            self.current += 1
        return [*released, self.translation()]

    def pass_through(self) -> list[Token | Translation]:
        """The whole of a unit without sentences."""
        token = Token(self.text_index, self.target_lang, 0, self.passed_through, None, None)
        self.deltas.append(token.text)
        return [token, self.translation()]

    def translation(self) -> Translation:
        text = "".join(self.deltas)
        score = round(self._score(), SCORE_DIGITS)
        return Translation(
            self.text_index, self.target_lang, text, score, self._finish_reason(), [Hypothesis(text, score)]
        )

    def _score(self) -> float:
        """Of a sentence: Σ log P / length^penalty, as in beam search; of a text: their mean, weighted by length."""
        num_tokens = sum(sentence.num_tokens for sentence in self.sentences)
        if num_tokens == 0:
            return 0.0
        weighted = 0.0
        for sentence in self.sentences:
            weighted += sentence.sum_logprobs * float(sentence.num_tokens) ** (1.0 - self.length_penalty)
        return weighted / num_tokens

    def _finish_reason(self) -> FinishReason:
        """A sentence that was cut short tells more about a text than those that were not."""
        reasons = {sentence.finish_reason for sentence in self.sentences}
        if "length" in reasons:
            return "length"
        return "repetition" if "repetition" in reasons else "stop"


class ActiveTranslation:
    """An admitted job: iterate for lists of what is to be said next; `aclose` cancels what has not been decoded."""

    def __init__(self, units: list[_Unit], stream: EngineStream, usage: Usage, metrics: Metrics) -> None:
        self.usage = usage
        self._units = units
        self._stream = stream
        self._metrics = metrics
        self._admitted_at = time.monotonic()
        self._by_id = {sentence.sequence.sequence_id: (unit, sentence) for unit in units for sentence in unit.sentences}

    async def __aiter__(self) -> AsyncIterator[list[Token | Translation]]:
        """Raises EngineFailedError and DeadlineExceededError."""
        passed_through = [each for unit in self._units if not unit.sentences for each in unit.pass_through()]
        if passed_through:
            yield passed_through
        async for events in self._stream:
            now = time.monotonic()
            released = [each for event in events for each in self._receive(event, now)]
            if released:
                yield released

    async def drain(self) -> list[Translation]:
        """All translations, by text, then by target, as asked."""
        translations = [each async for batch in self for each in batch if isinstance(each, Translation)]
        order = {(unit.text_index, unit.target_lang): place for place, unit in enumerate(self._units)}
        return sorted(translations, key=lambda each: order[each.text_index, each.target_lang])

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _receive(self, event: SequenceEvent, now: float) -> list[Token | Translation]:
        unit, sentence = self._by_id[event.sequence_id]
        match event:
            case SequenceStarted(encoded=encoded):
                self.usage.encoder_cache_misses += encoded
                self.usage.encoder_cache_hits += not encoded
                return []
            case SequenceFailed(detail=detail):
                raise EngineFailedError(detail)
            case TokenEvent():
                self._observe_pace(sentence, now)
                self.usage.generated_tokens += 1
                return unit.receive(sentence, event)

    def _observe_pace(self, sentence: _Sentence, now: float) -> None:
        if self.usage.generated_tokens == 0:
            self._metrics.time_to_first_token.observe(now - self._admitted_at)
        if sentence.num_tokens:
            self._metrics.inter_token_latency.observe(now - sentence.last_token_at)
        sentence.last_token_at = now


class Translator:
    """Admits jobs for one checkpoint."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        tokenizer: Tokenizer,
        client: EngineClient,
        *,
        max_source_tokens: int,
        max_new_tokens: int,
        max_queue_tokens: int,
        metrics: Metrics,
    ) -> None:
        """`max_source_tokens` counts the tokens of a source, the special ones included."""
        self.checkpoint = checkpoint
        self.tokenizer = tokenizer
        self._client = client
        self.max_source_tokens = max_source_tokens
        self.max_new_tokens = max_new_tokens
        self._max_queue_tokens = max_queue_tokens
        self._metrics = metrics

    async def admit(self, job: Job, *, timeout_seconds: float) -> ActiveTranslation:
        """Queue a job's sentences. Every refusal, a ServiceError, happens here."""
        deadline = asyncio.get_running_loop().time() + timeout_seconds
        if sum(map(len, job.texts)) <= INLINE_CHARACTERS:
            units = self._prepare(job)
        else:
            units = await asyncio.to_thread(self._prepare, job)
        sequences = [sentence.sequence for unit in units for sentence in unit.sentences]
        num_tokens = sum(len(sequence.source_ids) for sequence in sequences)
        if num_tokens > self._max_queue_tokens:
            raise TooLargeError(
                f"the request has {num_tokens} source tokens over all targets; the limit is {self._max_queue_tokens}"
            )
        usage = Usage(source_tokens=num_tokens, characters=sum(map(len, job.texts)))
        stream = self._client.submit(sequences, deadline=deadline)
        return ActiveTranslation(units, stream, usage, self._metrics)

    def _prepare(self, job: Job) -> list[_Unit]:
        """Cut and tokenize; safe outside the event loop."""
        source_lang, target_langs = self._match_languages(job)
        max_new_tokens = self._limit_new_tokens(job)
        penalty = job.length_penalty
        units = []
        for text_index, text in enumerate(job.texts):
            segmented = segment(
                text,
                language=source_lang,
                max_tokens=self.max_source_tokens - self.tokenizer.num_source_specials,
                count_tokens=self.tokenizer.count_tokens,
            )
            for target_lang in target_langs:
                separators = segmented.separators(target_lang)
                sentences = [
                    _Sentence(
                        self._sequence(sentence, source_lang, target_lang, max_new_tokens, job),
                        index,
                        before=separators[index],
                        after=separators[-1] if index == len(segmented.sentences) - 1 else "",
                        detokenizer=self.tokenizer.detokenizer(),
                    )
                    for index, sentence in enumerate(segmented.sentences)
                ]
                units.append(
                    _Unit(
                        text_index,
                        target_lang,
                        passed_through=text,
                        sentences=sentences,
                        length_penalty=self.checkpoint.generation.length_penalty if penalty is None else penalty,
                    )
                )
        return units

    def _sequence(self, text: str, source_lang: str, target_lang: str, max_new_tokens: int, job: Job) -> Sequence:
        return Sequence(
            sequence_id=self._client.next_id(),
            source_ids=tuple(self.tokenizer.encode_source(text, source_lang=source_lang, target_lang=target_lang)),
            decoder_prompt=tuple(self.tokenizer.decoder_prompt(target_lang)),
            max_new_tokens=max_new_tokens,
            priority=job.priority,
            repetition_guard=job.repetition_guard,
        )

    def _match_languages(self, job: Job) -> tuple[str, list[str]]:
        sources = self.tokenizer.source_languages
        source_lang = self.tokenizer.match(job.source_lang, among=sources)
        if source_lang is None:
            raise UnsupportedLanguageError(f"source_lang {job.source_lang!r} is not one of {_listed(sources)}")
        targets = self.tokenizer.targets_of(source_lang)
        matched = {}
        for code in job.target_langs:
            target_lang = self.tokenizer.match(code, among=targets)
            if target_lang is None:
                raise UnsupportedLanguageError(
                    f"target_lang {code!r} is not one that {source_lang!r} is translated into: {_listed(targets)}"
                )
            matched[target_lang] = code
        return source_lang, list(matched)

    def _limit_new_tokens(self, job: Job) -> int:
        if job.max_new_tokens is not None and job.max_new_tokens > self.max_new_tokens:
            raise UnsupportedOptionError(
                f"max_new_tokens is {job.max_new_tokens}; the limit is {self.max_new_tokens} a sentence"
            )
        return job.max_new_tokens or self.max_new_tokens


def _listed(codes: Iterable[str]) -> str:
    return ", ".join(codes)
