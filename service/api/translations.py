"""`POST /v1/translations` and `GET /v1/translations/stream`.

Answers are 200 with the translations or the events `start`, `token`…, `translation`…, and one last `done` or `error`.
Refusals before the first byte are 400, 413, 422, 429 and 503, and 504 when the deadline passes before a plain answer.
"""

from collections.abc import Sequence
from functools import partial
from secrets import token_hex

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.admission import Admission, Entry
from service.api.answers import StreamDone, StreamStart, TranslationAnswer
from service.api.encoding import JsonResponse, encode_json
from service.api.openapi import WORK_PROBLEMS, DocumentedRoute, Operation
from service.api.reading import read_body, read_json, read_query
from service.api.schemas import TranslationBody, TranslationQuery
from service.api.sse import HEADERS, EventStreamResponse, encode_event, until_gone
from service.api.streaming import StreamedTranslation
from service.translation.active import ActiveTranslation
from service.translation.results import TokenEvent, Translation

TAG = "translation"
EVENTS = (
    "Server-Sent Events: `start`, `token`…, `translation`…, and one last `done` or `error`, whose data is a problem"
)


def create_routes(admission: Admission) -> list[DocumentedRoute]:
    plain_or_stream = Operation(
        method="POST",
        path="/v1/translations",
        tag=TAG,
        summary="Translate",
        description="Translates one text or many into one language or many; as Server-Sent Events with `stream`.",
        body=TranslationBody,
        answer=TranslationAnswer,
        stream=EVENTS,
        problems=WORK_PROBLEMS,
    )
    stream = Operation(
        method="GET",
        path="/v1/translations/stream",
        tag=TAG,
        summary="Translate as a stream",
        description="Server-Sent Events for a browser's EventSource. Close it on `done` or `error`; otherwise the "
        "browser reconnects and repeats the request.",
        query=TranslationQuery,
        stream=EVENTS,
        problems=WORK_PROBLEMS,
    )
    return [
        DocumentedRoute(plain_or_stream, TranslationEndpoint(admission)),
        DocumentedRoute(stream, StreamEndpoint(admission)),
    ]


class TranslationEndpoint:
    """The ASGI app of `/v1/translations`."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._admission.entered(scope) as entry:
            body = read_json(TranslationBody, scope, await read_body(receive))
            if body.is_streamed:
                await _stream(entry, body)(scope, receive, send)
            else:
                response = await until_gone(receive, _answer(entry, body))
                await response(scope, receive, send)


class StreamEndpoint:
    """The ASGI app of `/v1/translations/stream`. HEAD is admitted or refused like GET but translates nothing."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._admission.entered(scope) as entry:
            await read_body(receive)
            query = read_query(TranslationQuery, scope)
            if scope["method"] == "HEAD":
                await until_gone(receive, entry.prepare(query.to_work()))
                response = Response(headers=HEADERS, media_type=EventStreamResponse.media_type)
                del response.headers["content-length"]  # a stream has none
                await response(scope, receive, send)
            else:
                await _stream(entry, query)(scope, receive, send)


async def _answer(entry: Entry, body: TranslationQuery) -> Response:
    work, nulls = body.to_work(), body.nulls
    with entry.submitted(await entry.prepare(work), work) as active:
        translations = [_as_sent(each, nulls) for each in await active.drain()]
        return JsonResponse(TranslationAnswer(_new_id(), ", ".join(active.models), translations, active.usage))


def _stream(entry: Entry, body: TranslationQuery) -> StreamedTranslation:
    return StreamedTranslation(entry, body.to_work(), partial(NativeEvents, nulls=body.nulls))


class NativeEvents:
    def __init__(self, active: ActiveTranslation, *, nulls: frozenset[int]) -> None:
        self._active = active
        self._nulls = nulls

    def start(self) -> bytes:
        active = self._active
        start = StreamStart(_new_id(), ", ".join(active.models), active.num_texts)
        return encode_event(b"start", encode_json(start))

    def encode(self, items: Sequence[TokenEvent | Translation]) -> bytes:
        return b"".join(_encode(item, self._nulls) for item in items)

    def done(self) -> bytes:
        return encode_event(b"done", encode_json(StreamDone(self._active.usage)))

    def error(self, body: msgspec.Struct) -> bytes:
        return encode_event(b"error", encode_json(body))


def _encode(item: TokenEvent | Translation, nulls: frozenset[int]) -> bytes:
    if isinstance(item, TokenEvent):
        return encode_event(b"token", encode_json(item))
    return encode_event(b"translation", encode_json(_as_sent(item, nulls)))


def _as_sent(translation: Translation, nulls: frozenset[int]) -> Translation:
    """The translation as it is sent: a text that is null comes back as null."""
    if translation.text_index not in nulls:
        return translation
    return msgspec.structs.replace(translation, text=None, hypotheses=[])


def _new_id() -> str:
    return f"tr-{token_hex(16)}"
