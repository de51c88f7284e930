"""Admission: the only way into the engine, for all routes and APIs.

1. The gate refuses before the body is read: a page of another site (400), draining (503), not ready (503), the queue
   full or too many requests (429).
2. The route reads and validates its body into `Work`.
3. `Entry.prepare`: limits (413) and those of the key (429), so many characters that they clearly have no room or miss
   the deadline (429), then languages, options and sizes (400, 413), under the request's deadline (504).
4. `Entry.submitted`: the work is queued or refused (429, 503). Leaving the context cancels unfinished sentences.

Every refusal therefore precedes the first byte of an answer. A request counts as in flight from step 1 to its answer.
"""

import asyncio
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from starlette.datastructures import Headers
from starlette.types import Scope

from service.api.cross_site import check_site
from service.api.errors import PROBLEMS, problem_of
from service.api.record import RequestRecord, record_of
from service.errors import (
    DeadlineUnreachableError,
    DrainingError,
    NotReadyError,
    QueueFullError,
    RateSpentError,
    RetryableError,
    TooLargeError,
)
from service.lifecycle import Lifecycle
from service.observability.tracing import current_trace
from service.rates.allowance import UNLIMITED, Allowance
from service.text.language_detector import DetectedLanguage
from service.translation.active import ActiveTranslation
from service.translation.prepared import PreparedTranslation
from service.translation.request import TranslationRequest
from service.translation.results import Translation
from service.translation.translator import Translator


class RoomCheck(Protocol):
    @property
    def retry_after_seconds(self) -> int: ...
    def check_room(self, client: str) -> None:
        """Raises NotReadyError or QueueFullError."""


class RateLimiter(Protocol):
    async def take(self, key: str, allowance: Allowance, *, num_characters: int) -> None:
        """Raises RateSpentError or TooLargeError."""


class RefusalObserver(Protocol):
    def on_refused(self, reason: str) -> None: ...
    def expect_refusals(self, reason: str) -> None:
        """Announce a reason for later refusals."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a request, and `max_requests`, the limit of requests in flight.

    At that limit, a client still has its share: that of an equal division among the clients with requests in flight.
    After a hang-up, a repeatable request goes on for `retry_linger_seconds`.
    """

    max_requests: int
    max_texts: int
    max_text_characters: int
    max_answer_bytes: int
    timeout_seconds: float
    retry_linger_seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """The work of a request. `timeout_seconds` can only shorten the server's own timeout.

    A repeatable request is plain and always has the same answer, so its retry can join it.
    """

    request: TranslationRequest
    timeout_seconds: float | None
    is_repeatable: bool


class Admission:
    def __init__(
        self,
        translator: Translator,
        engine: RoomCheck,
        lifecycle: Lifecycle,
        observer: RefusalObserver,
        *,
        limits: Limits,
        rate_limiter: RateLimiter | None = None,
        origins: Collection[str] = (),
    ) -> None:
        """Without `rate_limiter`, the limits of API keys are not kept. `origins` are those that CORS allows."""
        self.translator = translator
        self.limits = limits
        self.rate_limiter = rate_limiter
        self._origins = origins
        self._engine = engine
        self._lifecycle = lifecycle
        self._observer = observer
        for error in (QueueFullError, DeadlineUnreachableError, RateSpentError, NotReadyError, DrainingError):
            observer.expect_refusals(PROBLEMS[error].slug)

    @contextmanager
    def entered(self, scope: Scope, *, needs_engine: bool = True) -> Iterator["Entry"]:
        """A context around all work for a request.

        Raises CrossSiteError, DrainingError, NotReadyError and QueueFullError. Work that does not need the engine is
        admitted even if no worker is ready or the queue is full.
        """
        check_site(scope, origins=self._origins)
        client = record_of(scope).key or ""
        try:
            with self._lifecycle.request(client):
                if needs_engine:
                    self._engine.check_room(client)
                self._check_number(client)
                yield Entry(self, scope)
        except RetryableError as error:
            self._observer.on_refused(problem_of(error).slug)
            raise

    def _check_number(self, client: str) -> None:
        """Raises QueueFullError at the limit, unless the client has less than its share of it."""
        most, lifecycle = self.limits.max_requests, self._lifecycle
        if lifecycle.num_requests > most and lifecycle.num_requests_of(client) > most // lifecycle.num_clients:
            raise QueueFullError(
                f"{lifecycle.num_requests - 1} requests are being served; the limit is {most}",
                retry_after_seconds=self._engine.retry_after_seconds,
            )


class Entry:
    """One request that has passed the gate."""

    def __init__(self, admission: Admission, scope: Scope) -> None:
        self._translator = admission.translator
        self._limits = admission.limits
        self._rate_limiter = admission.rate_limiter
        self._record: RequestRecord = record_of(scope)
        self._is_cacheable = not _forbids_storing(scope)
        self._arrived_at = asyncio.get_running_loop().time()

    async def prepare(self, work: Work) -> PreparedTranslation:
        """Prepare a translation; cancellation stops it. Raises all refusals except that of a full queue."""
        request = work.request if self._is_cacheable else replace(work.request, is_cacheable=False)
        await self._check_limits(request.texts)
        self._translator.check_size(request, client=self._record.key or "", deadline=self._deadline(work))
        return await self._translator.prepare(request, deadline=self._deadline(work))

    async def detect(self, texts: tuple[str, ...], *, model: str | None = None) -> list[list[DetectedLanguage]]:
        """The languages of each text, the most probable one first.

        Raises TooLargeError, RateSpentError, UnsupportedLanguageError and UnsupportedOptionError.
        """
        await self._check_limits(texts)
        return await self._translator.detect(texts, model=model)

    async def translate(self, work: Work) -> list[Translation]:
        """Translate for a plain answer. Raises the errors of `prepare`, of `submitted` and of its decodes."""
        with self.submitted(await self.prepare(work), work) as active:
            return await active.drain()

    @contextmanager
    def submitted(self, prepared: PreparedTranslation, work: Work) -> Iterator[ActiveTranslation]:
        """A context in which the translation runs. Raises NotReadyError or QueueFullError.

        After a hang-up, repeatable work goes on for `retry_linger_seconds`.
        """
        active = self._translator.submit(prepared, client=self._record.key or "", deadline=self._deadline(work))
        self._record.usage = active.usage
        linger_seconds = 0.0
        try:
            yield active
        except asyncio.CancelledError:
            linger_seconds = self._limits.retry_linger_seconds if work.is_repeatable else 0.0
            raise
        finally:
            active.close(linger_seconds=linger_seconds)
            _trace_stages(active)

    def _deadline(self, work: Work) -> float:
        timeout_seconds = self._limits.timeout_seconds
        if work.timeout_seconds is not None:
            timeout_seconds = min(timeout_seconds, work.timeout_seconds)
        return self._arrived_at + timeout_seconds

    async def _check_limits(self, texts: tuple[str, ...]) -> None:
        """Raises TooLargeError, or RateSpentError for the key of the request."""
        limits = self._limits
        if len(texts) > limits.max_texts:
            raise TooLargeError(
                f"the request has {len(texts)} texts; the limit is {limits.max_texts}",
                size=len(texts),
                limit=limits.max_texts,
            )
        num_characters = sum(map(len, texts))
        if num_characters > limits.max_text_characters:
            raise TooLargeError(
                f"the texts have {num_characters} characters; the limit is {limits.max_text_characters}",
                size=num_characters,
                limit=limits.max_text_characters,
            )
        self._record.texts = texts
        key, allowance = self._record.key, self._record.allowance
        if self._rate_limiter is not None and key is not None and allowance != UNLIMITED:
            await self._rate_limiter.take(key, allowance, num_characters=num_characters)


def _trace_stages(active: ActiveTranslation) -> None:
    trace = current_trace()
    if trace is not None:
        usage = active.usage
        attributes = {
            "kakehashi.texts": active.num_texts,
            "kakehashi.source_tokens": usage.source_tokens,
            "kakehashi.generated_tokens": usage.generated_tokens,
            "kakehashi.encoder_cache.hits": usage.encoder_cache_hits,
            "kakehashi.encoder_cache.misses": usage.encoder_cache_misses,
        }
        trace.add_stages(active.timeline, ended=time.monotonic(), attributes=attributes)


def _forbids_storing(scope: Scope) -> bool:
    """Whether the request has `Cache-Control: no-store` (RFC 9111)."""
    directives = ",".join(Headers(scope=scope).getlist("cache-control")).lower().split(",")
    return "no-store" in map(str.strip, directives)
