"""Metrics of requests, from what the API reports."""

from service.observability.metrics import Metrics


class RequestTelemetry:
    """The API's observers."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def on_request_ended(self, endpoint: str, *, outcome: str, is_stream: bool, seconds: float) -> None:
        self._metrics.requests.labels(endpoint, outcome).inc()
        self._metrics.request_duration.labels(endpoint, str(is_stream).lower()).observe(seconds)

    def on_refused(self, reason: str) -> None:
        self._metrics.refused.labels(reason).inc()

    def expect_refusals(self, reason: str) -> None:
        self._metrics.refused.labels(reason)  # at zero, so that the first one shows as an increase
