"""Metrics from the reports of the API."""

from service.observability.metrics import Metrics


class RequestTelemetry:
    """An `ApiObserver`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def on_request_ended(self, endpoint: str, *, outcome: str, is_stream: bool, seconds: float) -> None:
        self._metrics.requests.labels(endpoint, outcome).inc()
        self._metrics.request_duration.labels(endpoint, str(is_stream).lower()).observe(seconds)

    def on_refused(self, reason: str) -> None:
        self._metrics.refused.labels(reason).inc()

    def expect_refusals(self, reason: str) -> None:
        self._metrics.refused.labels(reason)  # starts at zero, so that the first refusal shows as an increase
