"""Pure ASGI: request ids, the limit on bodies, and the account of every request.

Pure, because a middleware that buffers or wraps the receive channel would hide hang-ups from the routes.
"""

import re
import time
from secrets import token_hex

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import refuse
from service.api.record import RequestRecord, set_record
from service.metrics import Metrics

SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
UNMATCHED = "unmatched"


class RequestRecorder:
    """Gives each request its id, and counts it when its answer is out."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        record = RequestRecord(given if SANE_REQUEST_ID.fullmatch(given) else f"req-{token_hex(16)}")
        set_record(scope, record)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = record.request_id
            await send(message)

        began = time.monotonic()
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            self._count(scope, record, time.monotonic() - began)

    def _count(self, scope: Scope, record: RequestRecord, seconds: float) -> None:
        route = scope.get("route")
        endpoint = UNMATCHED if route is None else route.path
        self._metrics.requests.labels(endpoint, record.outcome or _outcome_of(record.status)).inc()
        self._metrics.request_duration.labels(endpoint, str(record.is_stream).lower()).observe(seconds)


def _outcome_of(status: int | None) -> str:
    if status is None or status >= 500:
        return "error"
    return "invalid" if status >= 400 else "ok"


class BodyLimit:
    """Refuses a body over `max_bytes` with 413: by its announced length, else as soon as it grows past the limit.

    Starlette's own limit answers in plain text, also where a handler has already made a problem of it.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        detail = f"the body is longer than {self._max_bytes} bytes"
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            await refuse(scope, 413, detail)(scope, receive, send)
            return
        num_received = 0

        async def receive_within_limit() -> Message:
            nonlocal num_received
            message = await receive()
            num_received += len(message.get("body", b""))
            if num_received > self._max_bytes:
                # Inside the route's own reading of the body, so that the error handlers answer.
                raise HTTPException(413, detail)
            return message

        await self._app(scope, receive_within_limit, send)
