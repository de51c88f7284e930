"""OpenTelemetry spans of requests: off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set, and then none of its SDK is loaded.

The SDK reads the other standard variables itself. Who does something for a request asks for its trace here.
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
    """What the environment asks for cannot be done; the message names the variable."""


def current_trace() -> "RequestTrace | None":
    """That of the request which is being served; None where there is none, or tracing is off."""
    return _current_trace.get()


def set_current_trace(trace: "RequestTrace") -> None:
    """For what is done from here on in this task, and in those that it begins."""
    _current_trace.set(trace)


def start_tracing(environment: Mapping[str, str], *, version: str) -> "Tracing | None":
    """None: off. Raises TracingError."""
    is_disabled = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if not environment.get(ENDPOINT_VARIABLE) or is_disabled or environment.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    for name in PROTOCOL_VARIABLES:
        if environment.get(name, PROTOCOL) not in ("", PROTOCOL):
            raise TracingError(f"{name}: {environment[name]!r} cannot be used: spans are sent as {PROTOCOL}")
    from service.observability.spans import Tracing  # takes memory that only those pay who use it

    return Tracing(version=version)
