"""Pure ASGI middleware: request ids, security headers, and the metrics, log line and trace of every request.

It is pure ASGI because a middleware that buffers or wraps the receive channel would hide hang-ups from the routes.
"""

import re
import time
from collections.abc import Callable
from secrets import token_hex
from typing import TYPE_CHECKING, Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.access_log import AccessLog
from service.api.delivery import wait_delivered
from service.api.dialect import Dialect
from service.api.errors import NATIVE
from service.api.record import RequestRecord, set_record
from service.errors import MAX_SHOWN_CHARACTERS
from service.observability.log import set_request_ids

if TYPE_CHECKING:
    from service.observability.spans import Attributes, RequestTrace, Tracing

SANE_REQUEST_ID = re.compile(rf"[A-Za-z0-9._:-]{{1,{MAX_SHOWN_CHARACTERS}}}")
UNMATCHED = "unmatched"
SECURITY_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"frame-ancestors 'none'"),  # pages have a second policy, which applies, too
)
PROBES = frozenset({"/health", "/health/live", "/health/ready", "/metrics"})


class RequestObserver(Protocol):
    def on_request_ended(self, endpoint: str, *, outcome: str, is_stream: bool, seconds: float) -> None: ...


class RequestRecorder:
    """Assigns a request its id and trace, and reports and logs it after its answer.

    `dialect_of` takes a path, because a request may be refused before its route is found.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        observer: RequestObserver,
        dialect_of: Callable[[str], Dialect] = lambda _: NATIVE,
        access_log: AccessLog | None = None,
        tracing: "Tracing | None" = None,
    ) -> None:
        self._app = app
        self._observer = observer
        self._dialect_of = dialect_of
        self._access_log = access_log
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if SANE_REQUEST_ID.fullmatch(given) else f"req-{token_hex(16)}"
        record = RequestRecord(request_id, self._dialect_of(scope["path"]), is_probe=scope["path"] in PROBES)
        set_record(scope, record)
        trace = None if self._tracing is None else self._start_trace(self._tracing, scope, record, began)
        set_request_ids(request_id=request_id, trace_id=None if trace is None else trace.trace_id)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = record.request_id
                if SECURITY_HEADERS[0] not in message["headers"]:  # an answer that is passed on has them already
                    message["headers"].extend(SECURITY_HEADERS)
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
            record.is_delivered = False  # until the delivery is known; a shutdown may cut the wait short
            record.is_delivered = await wait_delivered(scope)
        finally:
            self._account(scope, record, began, trace)

    def _account(self, scope: Scope, record: RequestRecord, began: float, trace: "RequestTrace | None") -> None:
        ended = time.monotonic()
        route = scope.get("route")
        endpoint = UNMATCHED if route is None else route.path
        outcome = record.outcome or _outcome_of(record.status)
        if outcome == "ok" and not record.is_delivered:
            outcome = "cancelled"
        self._observer.on_request_ended(endpoint, outcome=outcome, is_stream=record.is_stream, seconds=ended - began)
        if record.status is None:  # an error of the middleware itself, which uvicorn answers
            record.status = 500
        if self._access_log is not None:
            self._access_log.write(
                record, method=scope["method"], route=endpoint, outcome=outcome, seconds=ended - began
            )
        if trace is not None:
            attributes: Attributes = {"kakehashi.stream": record.is_stream}
            trace.end(route=endpoint, status=record.status, outcome=outcome, ended=ended, attributes=attributes)

    def _start_trace(
        self, tracing: "Tracing", scope: Scope, record: RequestRecord, began: float
    ) -> "RequestTrace | None":
        if record.is_probe:
            return None
        return tracing.start(scope["headers"], method=scope["method"], request_id=record.request_id, began=began)


def _outcome_of(status: int | None) -> str:
    if status is None or status >= 500:
        return "error"
    return "invalid" if status >= 400 else "ok"
