"""OpenTelemetry tracing of requests, off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set.

While it is off, the SDK is not loaded. The SDK reads the other standard variables itself. Code that works on a request
gets its trace from `current_trace`.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from service.observability.spans import RequestTrace, Tracing

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"

_current_trace: "ContextVar[RequestTrace | None]" = ContextVar("current_trace", default=None)


class TracingError(Exception):
    """A tracing variable has an unsupported value; the message names it."""


def current_trace() -> "RequestTrace | None":
    """The trace of the request being served; None if there is none or tracing is off."""
    return _current_trace.get()


def set_current_trace(trace: "RequestTrace") -> None:
    """Set the trace for this task and the tasks that it starts."""
    _current_trace.set(trace)


def start_tracing(environment: Mapping[str, str], *, version: str) -> "Tracing | None":
    """Start tracing; None if it is off. Raises TracingError."""
    is_disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if not environment.get(ENDPOINT_VARIABLE) or is_disabled or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    for name in PROTOCOL_VARIABLES:
        if environment.get(name, PROTOCOL) not in ("", PROTOCOL):
            raise TracingError(f"{name}: {environment[name]!r} is not supported; spans are sent as {PROTOCOL}")
    from service.observability.spans import Tracing  # imported only if used: it takes memory

    return Tracing(version=version)
