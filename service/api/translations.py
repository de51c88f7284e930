"""`POST /v1/translations` and `GET /v1/translations/stream`.

200 with the translations, or with the events `start`, `token`…, `translation`…, and one last `done` or `error`.
Refused before the first byte: 400, 413, 422, 429, 503; 504 when the deadline passes before a plain answer.
"""

from collections.abc import Sequence
from secrets import token_hex

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.admission import Admission, Entry, Work
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
    """ASGI."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._admission.entered(scope) as entry:
            work = read_json(TranslationBody, scope, await read_body(receive)).to_work()
            if work.request.is_streamed:
                await StreamedTranslation(entry, work, NativeEvents)(scope, receive, send)
            else:
                response = await until_gone(receive, _answer(entry, work))
                await response(scope, receive, send)


class StreamEndpoint:
    """ASGI. HEAD is admitted or refused like GET but translates nothing."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._admission.entered(scope) as entry:
            await read_body(receive)
            work = read_query(TranslationQuery, scope).to_work()
            if scope["method"] == "HEAD":
                await until_gone(receive, entry.prepare(work))
                response = Response(headers=HEADERS, media_type=EventStreamResponse.media_type)
                del response.headers["content-length"]  # a stream has none
                await response(scope, receive, send)
            else:
                await StreamedTranslation(entry, work, NativeEvents)(scope, receive, send)


async def _answer(entry: Entry, work: Work) -> Response:
    with entry.submitted(await entry.prepare(work), work) as active:
        translations = await active.drain()
        return JsonResponse(TranslationAnswer(_new_id(), ", ".join(active.models), translations, active.usage))


class NativeEvents:
    def __init__(self, active: ActiveTranslation) -> None:
        self._active = active

    def start(self) -> bytes:
        active = self._active
        start = StreamStart(_new_id(), ", ".join(active.models), active.num_texts)
        return encode_event(b"start", encode_json(start))

    def encode(self, items: Sequence[TokenEvent | Translation]) -> bytes:
        return b"".join(map(_encode, items))

    def done(self) -> bytes:
        return encode_event(b"done", encode_json(StreamDone(self._active.usage)))

    def error(self, body: msgspec.Struct) -> bytes:
        return encode_event(b"error", encode_json(body))


def _encode(item: TokenEvent | Translation) -> bytes:
    return encode_event(b"token" if isinstance(item, TokenEvent) else b"translation", encode_json(item))


def _new_id() -> str:
    return f"tr-{token_hex(16)}"
