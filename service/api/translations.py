"""`POST /v1/translations` and `GET /v1/translations/stream`.

200 with the translations, or with the events `start`, `token`…, `translation`…, and one last `done` or `error`.
Refused before the first byte: 400, 413, 422, 429, 503; 504 when the deadline passes before a plain answer.
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from secrets import token_hex
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import TypeAdapter
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from service.api.body_route import BodyRoute
from service.api.errors import PROBLEMS, problem_body, problem_of, record_failure
from service.api.record import RequestRecord, record_of
from service.api.schemas import TranslationAnswer, TranslationBody, TranslationQuery
from service.api.sse import EventStreamResponse, EventWriter, encode_event, encode_json, until_gone
from service.errors import DrainingError, NotReadyError, QueueFullError, RetryableError, TooLargeError
from service.lifecycle import Lifecycle
from service.observability.metrics import Metrics
from service.observability.tracing import current_trace
from service.translation.results import Token, Translation
from service.translation.translator import ActiveTranslation, Job, Translator

TAG = "translation"
EVENT_STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {}}, "description": "Server-Sent Events"}
}


class JobQuery(Protocol):
    """What a route was asked for."""

    @property
    def timeout_s(self) -> float | None: ...
    def to_job(self) -> Job: ...


class TranslationService:
    """Admission and answers, for the routes."""

    def __init__(
        self,
        translator: Translator,
        lifecycle: Lifecycle,
        metrics: Metrics,
        *,
        max_texts: int,
        max_text_characters: int,
        timeout_seconds: float,
    ) -> None:
        self._translator = translator
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._max_texts = max_texts
        self._max_text_characters = max_text_characters
        self._timeout_seconds = timeout_seconds
        for error in (QueueFullError, NotReadyError, DrainingError):
            metrics.refused.labels(PROBLEMS[error].slug)  # so that each starts at 0
        self._answers = TypeAdapter(TranslationAnswer)
        self._translations = TypeAdapter(Translation)

    @asynccontextmanager
    async def admitted(self, query: JobQuery, scope: Scope) -> AsyncIterator[ActiveTranslation]:
        """Queue what is asked for; what has not been decoded when the context is left is cancelled."""
        try:
            with self._lifecycle.request():
                record = record_of(scope)
                active = await self._admit(query, record, is_cacheable=not _forbids_storing(scope))
                record.usage = active.usage
                try:
                    yield active
                finally:
                    await active.aclose()
                    _trace_stages(active)
        except RetryableError as error:
            self._metrics.refused.labels(problem_of(error).slug).inc()
            raise

    async def _admit(self, query: JobQuery, record: RequestRecord, *, is_cacheable: bool) -> ActiveTranslation:
        job = query.to_job()
        if not is_cacheable:
            job = replace(job, is_cacheable=False)
        self._check_limits(job)
        record.texts = job.texts
        timeout_seconds = min(query.timeout_s or self._timeout_seconds, self._timeout_seconds)
        return await self._translator.admit(job, timeout_seconds=timeout_seconds)

    async def answer(self, receive: Receive, active: ActiveTranslation) -> Response:
        translations = await until_gone(receive, active.drain())
        answer = TranslationAnswer(_new_id(), ", ".join(active.models), translations, active.usage)
        return Response(self._answers.dump_json(answer, exclude_none=True), media_type="application/json")

    def stream(self, record: RequestRecord, active: ActiveTranslation) -> EventStreamResponse:
        # Until an event says otherwise: a stream that is cut short was cut by its client.
        record.is_stream, record.outcome = True, "cancelled"
        active.timeline.streaming_at = time.monotonic()

        async def tell(writer: EventWriter) -> None:
            start = {"id": _new_id(), "model": ", ".join(active.models), "texts": active.num_texts}
            await writer.write(encode_event(b"start", encode_json(start)), more=True)
            more = True
            while more:
                chunk, more = await self._next_chunk(record, active)
                await writer.write(chunk, more=more)

        return EventStreamResponse(tell)

    async def _next_chunk(self, record: RequestRecord, active: ActiveTranslation) -> tuple[bytes, bool]:
        """The next events, all that one step brought, and whether more follow; an error is the last one, not raised."""
        try:
            chunk = b"".join(map(self._encode, await active.next()))
            if not active.is_over:
                return chunk, True
            record.outcome, active.timeline.decoded_at = "ok", time.monotonic()
            return chunk + encode_event(b"done", encode_json({"usage": active.usage})), False
        except Exception as error:  # whatever it is, the stream must say that it ended badly
            record_failure(error, record)
            return encode_event(b"error", encode_json(problem_body(error, request_id=record.request_id))), False

    def _encode(self, item: Token | Translation) -> bytes:
        if isinstance(item, Token):
            return encode_event(b"token", encode_json(item))
        return encode_event(b"translation", self._translations.dump_json(item, exclude_none=True))

    def _check_limits(self, job: Job) -> None:
        if len(job.texts) > self._max_texts:
            raise TooLargeError(f"the request has {len(job.texts)} texts; the limit is {self._max_texts}")
        num_characters = sum(map(len, job.texts))
        if num_characters > self._max_text_characters:
            raise TooLargeError(f"the texts have {num_characters} characters; the limit is {self._max_text_characters}")


class TranslationResponse(Response):
    """Admits when it is sent, and answers: a refusal is raised before the first byte, where it keeps its status.

    A dependency would do the same, but those that end after the response take FastAPI as long as tokenizing a text.
    """

    def __init__(self, service: TranslationService, query: TranslationQuery) -> None:
        super().__init__()
        self._service = service
        self._query = query

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service
        async with service.admitted(self._query, scope) as active:
            if self._query.is_streamed:
                response: Response = service.stream(record_of(scope), active)
            else:
                response = await service.answer(receive, active)
            await response(scope, receive, send)


def create_route(service: TranslationService) -> BodyRoute:
    async def translate(body: TranslationBody) -> Response:
        """Translate one text or many into one language or many."""
        return TranslationResponse(service, body)

    return BodyRoute(
        "/v1/translations",
        translate,
        model=TranslationBody,
        tag=TAG,
        response_model=TranslationAnswer,
        responses=EVENT_STREAM,
    )


def create_router(service: TranslationService) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=[TAG])

    @router.get("/translations/stream", response_class=Response, responses=EVENT_STREAM)
    async def translate_stream(query: Annotated[TranslationQuery, Query()]) -> Response:
        """Translate as Server-Sent Events, for a browser's EventSource; close it on `done`, or it asks again."""
        return TranslationResponse(service, query)

    return router


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


def _new_id() -> str:
    return f"tr-{token_hex(16)}"


def _forbids_storing(scope: Scope) -> bool:
    """Whether the request has `Cache-Control: no-store`, RFC 9111."""
    directives = ",".join(Headers(scope=scope).getlist("cache-control")).lower().split(",")
    return "no-store" in map(str.strip, directives)
