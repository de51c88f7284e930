"""The spans of a request: a server span, with a child for each stage and each look-up in Redis.

Stages become spans at the end of the request, from recorded times, so tracing costs nothing per token. A thread sends
spans in batches. Attributes are routes, counts and kinds, never texts.
"""

import asyncio
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

from opentelemetry import context, propagate, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

from service.observability.timeline import Timeline
from service.observability.tracing import set_current_trace

DEFAULT_NAME = "kakehashi"
UNNAMED = "unknown_service"
"""The start of the SDK's default service name."""
FLUSH_SECONDS = 1.5
"""The part of the grace period for sending the last spans."""
NANOSECONDS: Final = 1_000_000_000

Attributes = Mapping[str, str | bool | int | float]


class Tracing:
    """The SDK reads the endpoint and all other options from the environment."""

    def __init__(self, *, version: str) -> None:
        resource = Resource.create({"service.version": version})
        if str(resource.attributes[SERVICE_NAME]).startswith(UNNAMED):
            resource = resource.merge(Resource({SERVICE_NAME: DEFAULT_NAME}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer(DEFAULT_NAME, version)
        self._fields = {field.lower().encode(): field for field in propagate.get_global_textmap().fields}

    def start(
        self, headers: Iterable[tuple[bytes, bytes]], *, method: str, request_id: str, began: float
    ) -> "RequestTrace":
        """Start the trace of this task's request, with the parent named in `headers`. `began` is monotonic time."""
        request_trace = RequestTrace(
            self._tracer, self._read(headers), method=method, request_id=request_id, began=began
        )
        set_current_trace(request_trace)
        return request_trace

    def _read(self, headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
        """The headers that the propagators need. Several headers of one name, such as `tracestate`, are joined."""
        found: dict[str, str] = {}
        for name, value in headers:
            if (field := self._fields.get(name)) is not None:
                text = value.decode("latin-1")
                found[field] = f"{found[field]},{text}" if field in found else text
        return found

    async def aclose(self) -> None:
        """Send the remaining spans, for at most FLUSH_SECONDS."""
        loop = asyncio.get_running_loop()
        sent = asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop may be closed already
                loop.call_soon_threadsafe(sent.set)

        threading.Thread(target=shut_down, daemon=True).start()  # a daemon does not delay the exit
        with suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_SECONDS):
                await sent.wait()


class RequestTrace:
    """All times are seconds of the monotonic clock."""

    def __init__(
        self, tracer: trace.Tracer, headers: Mapping[str, str], *, method: str, request_id: str, began: float
    ) -> None:
        self._tracer = tracer
        self._method = method
        self._offset = time.time_ns() - time.monotonic_ns()
        self._span = tracer.start_span(
            f"HTTP {method}",
            context=propagate.extract(headers),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "kakehashi.request_id": request_id},
            start_time=self._nanoseconds(began),
        )
        self._context = trace.set_span_in_context(self._span)
        context.attach(self._context)  # for libraries that look for the current span; it ends with the task
        self._is_recording = self._span.is_recording()

    @property
    def trace_id(self) -> str:
        return trace.format_trace_id(self._span.get_span_context().trace_id)

    def add_stages(self, timeline: Timeline, *, ended: float, attributes: Attributes) -> None:
        """Add a span for each stage that was reached. `attributes` belong to the stage `decode`."""
        if not self._is_recording:
            return
        for stage in timeline.stages(ended):
            is_decode = stage.name == "decode"
            moments = {"first token": timeline.first_token_at, "last sentence": timeline.last_slot_at}
            self._add(
                stage.name,
                stage.began,
                stage.ended,
                attributes=attributes if is_decode else {},
                moments=moments if is_decode else {},
            )

    def add_look_up(self, name: str, *, began: float, attributes: Attributes, is_call: bool = False) -> None:
        """Add a look-up that has just ended. `is_call` marks a request to another server."""
        if self._is_recording:
            kind = SpanKind.CLIENT if is_call else SpanKind.INTERNAL
            self._add(name, began, time.monotonic(), kind=kind, attributes=attributes)

    def end(self, *, route: str, status: int, outcome: str, ended: float, attributes: Attributes) -> None:
        if self._is_recording:
            self._span.update_name(f"{self._method} {route}")
            self._span.set_attributes(
                {
                    "http.route": route,
                    "http.response.status_code": status,
                    "kakehashi.outcome": outcome,
                    **attributes,
                }
            )
            if status >= 500 or outcome in ("error", "timeout"):  # a failing stream has sent a 200 already
                self._span.set_attribute("error.type", str(status) if status >= 500 else outcome)
                self._span.set_status(Status(StatusCode.ERROR))
        self._span.end(self._nanoseconds(ended))

    def _add(
        self,
        name: str,
        began: float,
        ended: float,
        *,
        attributes: Attributes,
        kind: SpanKind = SpanKind.INTERNAL,
        moments: Mapping[str, float] | None = None,
    ) -> None:
        span = self._tracer.start_span(
            name, context=self._context, kind=kind, attributes=attributes, start_time=self._nanoseconds(began)
        )
        for moment, at in (moments or {}).items():
            if at:
                span.add_event(moment, timestamp=self._nanoseconds(at))
        span.end(self._nanoseconds(ended))

    def _nanoseconds(self, monotonic: float) -> int:
        """Nanoseconds since the epoch, as spans need them."""
        return int(monotonic * NANOSECONDS) + self._offset
