"""Prepare and submit requests.

The texts of a request are cut into sentences, which decode side by side; equal ones share a decode. If a pair has no
checkpoint, its sentences go through a third language, and the second leg of a sentence starts as soon as its first one
ends. A plain answer is the same stream, drained, with whole sentences instead of tokens.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from math import inf
from threading import Event

from service.engine.engine import Engine
from service.errors import DeadlineExceededError, ServiceError, UnsupportedOptionError
from service.text.language_detector import DetectedLanguage, LanguageDetector
from service.translation.active import ActiveTranslation
from service.translation.expected_work import ExpectedWork
from service.translation.observer import TranslationObserver
from service.translation.preparation import Preparation
from service.translation.prepared import PreparedTranslation
from service.translation.request import TranslationRequest
from service.translation.rest import Rest
from service.translation.routing import Catalogue

INLINE_CHARACTERS = 2_000
"""The most characters, over all targets, to prepare on the event loop; larger requests use a thread."""
TEXT_CHARACTERS = 10
"""The cost of a text besides its characters."""
DETECTION_CHARACTERS = 100
"""The cost of detecting the language of a text."""
NUM_THREADS = 2


class Translator:
    """Owns the threads that prepare requests, until `close`."""

    def __init__(
        self,
        catalogue: Catalogue,
        detector: LanguageDetector,
        engine: Engine,
        *,
        max_answer_bytes: int,
        observer: TranslationObserver,
    ) -> None:
        self._catalogue = catalogue
        self._detector = detector
        self._engine = engine
        self._max_answer_bytes = max_answer_bytes
        self._observer = observer
        self._expected_work = ExpectedWork()
        self._pool = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="prepare")

    def check_size(self, request: TranslationRequest, *, client: str, deadline: float) -> None:
        """Raises QueueFullError or DeadlineUnreachableError if so many characters clearly have no room or no time."""
        num_tokens = self._expected_work.of(request)
        if num_tokens is not None:
            self._engine.check_estimate(num_tokens, client=client, priority=request.priority, deadline=deadline)

    async def prepare(self, request: TranslationRequest, *, deadline: float = inf) -> PreparedTranslation:
        """Prepare a request: all refusals except for a full queue happen here. Cancelling stops the work.

        `deadline` is in the event loop's time. Raises NotReadyError, UnsupportedLanguageError, UnsupportedOptionError,
        TooLargeError or DeadlineExceededError.
        """
        if request.beam_size > self._engine.min_rows:
            raise UnsupportedOptionError(
                f"beam_size is {request.beam_size}; the limit of this server is {self._engine.min_rows}"
            )
        cancelled = Event()
        preparation = Preparation(
            request,
            self._catalogue,
            self._detector,
            self._engine,
            max_answer_bytes=self._max_answer_bytes,
            cancelled=cancelled,
        )
        if self._is_small(request):
            preparation.run()
            return preparation.prepared
        rest = Rest(cancelled) if request.is_streamed else None
        loop = asyncio.get_running_loop()
        whole = loop.run_in_executor(self._pool, preparation.run, rest)
        whole.add_done_callback(lambda done: done.cancelled() or done.exception())  # else an unread error is logged
        ready = [whole, rest.begun] if rest else [whole]
        seconds_left = None if deadline == inf else max(0.0, deadline - loop.time())
        try:
            done, _ = await asyncio.wait(ready, timeout=seconds_left, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        if not done:
            cancelled.set()
            raise DeadlineExceededError("the time allowed for this request is over")
        if whole.done():
            whole.result()
        return preparation.prepared

    async def detect(self, texts: Sequence[str], *, model: str | None = None) -> list[list[DetectedLanguage]]:
        """The possible languages of every text, most probable first.

        Raises UnsupportedLanguageError, and UnsupportedOptionError for an unknown model.
        """
        among = self._catalogue.source_languages(model=model)

        def rank_all() -> list[list[DetectedLanguage]]:
            return [self._detector.rank(text, among=among) for text in texts]

        if sum(map(len, texts)) + self._detection_cost(len(texts)) <= INLINE_CHARACTERS:
            return rank_all()
        return await asyncio.get_running_loop().run_in_executor(self._pool, rank_all)

    def _is_small(self, request: TranslationRequest) -> bool:
        """Whether preparing it takes too little time to be worth a thread."""
        cost = (request.num_characters + TEXT_CHARACTERS * len(request.texts)) * request.num_targets
        if request.source_lang is None:
            cost += self._detection_cost(len(request.texts))
        return cost <= INLINE_CHARACTERS

    def _detection_cost(self, num_texts: int) -> int:
        """The cost in characters. Loading the detector takes too long for the event loop."""
        return DETECTION_CHARACTERS * num_texts if self._detector.is_loaded else INLINE_CHARACTERS + 1

    def submit(self, prepared: PreparedTranslation, *, client: str = "", deadline: float) -> ActiveTranslation:
        """Queue the decodes; `deadline` is in the event loop's time. Raises NotReadyError or QueueFullError.

        `client` is the name of an API key; empty without keys.
        """
        request = prepared.request
        if prepared.rest is None:
            self._expected_work.learn(request, self._engine.expected_tokens(prepared.decodes))
        # First legs are streamed only if they include decodes that are part of the answer.
        is_streamed = request.is_streamed and any(decoded.is_read for decoded in prepared.passages.decoded)
        try:
            subscription = self._engine.submit(
                prepared.decodes,
                client=client,
                priority=request.priority,
                is_streamed=is_streamed,
                deadline=deadline,
            )
        except ServiceError:
            if prepared.rest is not None:
                prepared.rest.close()
            raise
        return ActiveTranslation(prepared, self._engine, subscription, self._observer)

    def close(self) -> None:
        """Stop preparing; requests queued for the threads are dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)
