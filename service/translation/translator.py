"""Requests to translations at work.

A request's texts are cut into sentences, of which equal ones share a decode, and all decode side by side. Where a pair
has no checkpoint, each sentence goes through a third language by itself: its second leg begins as soon as its first
has ended. A plain answer is the same stream, drained; its sentences come whole.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from service.engine.engine import Engine
from service.errors import UnsupportedOptionError
from service.text.language_detector import DetectedLanguage, LanguageDetector
from service.translation.active import ActiveTranslation
from service.translation.observer import TranslationObserver
from service.translation.preparation import Preparation
from service.translation.prepared import PreparedTranslation
from service.translation.request import TranslationRequest
from service.translation.routing import Catalogue

INLINE_CHARACTERS = 2_000
"""Characters over all targets up to which a request is prepared on the event loop; larger ones are in a thread."""
TEXT_CHARACTERS = 10
"""What a text costs besides its characters."""
DETECTION_CHARACTERS = 100
"""And what it costs to detect its language."""
NUM_THREADS = 2


class Translator:
    """Owns the threads that prepare requests; `close` ends them."""

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
        self._pool = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="prepare")

    async def prepare(self, request: TranslationRequest) -> PreparedTranslation:
        """Every refusal but a full queue happens here; cancelling stops the work.

        Raises NotReadyError, UnsupportedLanguageError, UnsupportedOptionError and TooLargeError.
        """
        if request.beam_size > self._engine.min_rows:
            raise UnsupportedOptionError(
                f"beam_size is {request.beam_size}; a batch of this server has {self._engine.min_rows} rows"
            )
        preparation = Preparation(
            request, self._catalogue, self._detector, self._engine, max_answer_bytes=self._max_answer_bytes
        )
        if self._is_small(request):
            return preparation.run()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, preparation.run)
        except asyncio.CancelledError:
            preparation.cancel()
            raise

    async def detect(self, texts: Sequence[str], *, model: str | None = None) -> list[list[DetectedLanguage]]:
        """For each text the languages that it may be in, the most probable one first.

        Raises UnsupportedLanguageError, and UnsupportedOptionError for an unknown model.
        """
        among = self._catalogue.source_languages(model=model)

        def rank_all() -> list[list[DetectedLanguage]]:
            return [self._detector.rank(text, among=among) for text in texts]

        if sum(map(len, texts)) + self._detection_cost(len(texts)) <= INLINE_CHARACTERS:
            return rank_all()
        return await asyncio.get_running_loop().run_in_executor(self._pool, rank_all)

    def _is_small(self, request: TranslationRequest) -> bool:
        """Whether it takes the event loop too little time to be worth a thread."""
        cost = (request.num_characters + TEXT_CHARACTERS * len(request.texts)) * request.num_targets
        if request.source_lang is None:
            cost += self._detection_cost(len(request.texts))
        return cost <= INLINE_CHARACTERS

    def _detection_cost(self, num_texts: int) -> int:
        """In characters. A detector that has yet to be loaded costs more than the event loop has time for."""
        return DETECTION_CHARACTERS * num_texts if self._detector.is_loaded else INLINE_CHARACTERS + 1

    def submit(self, prepared: PreparedTranslation, *, deadline: float) -> ActiveTranslation:
        """Queue its decodes; `deadline` is in the event loop's time. Raises NotReadyError and QueueFullError."""
        request = prepared.request
        # First legs are streamed only where decodes that are read come along.
        is_streamed = request.is_streamed and any(decoded.is_read for decoded in prepared.passages.decoded)
        subscription = self._engine.submit(
            prepared.decodes, priority=request.priority, is_streamed=is_streamed, deadline=deadline
        )
        return ActiveTranslation(prepared, self._engine, subscription, self._observer)

    def close(self) -> None:
        """Prepare nothing more; what is queued for the threads is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)
