"""Metrics from the reports of the API."""

from functools import cache

from service.observability.metrics import Metrics


class RequestTelemetry:
    """An `ApiObserver`."""

    def __init__(self, metrics: Metrics) -> None:
        # To find a series takes longer than to count in it. Labels are bounded, and so are these caches.
        self._requests = cache(metrics.requests.labels)
        self._durations = cache(metrics.request_duration.labels)
        self._refused = cache(metrics.refused.labels)

    def on_request_ended(self, endpoint: str, *, outcome: str, is_stream: bool, seconds: float) -> None:
        self._requests(endpoint, outcome).inc()
        self._durations(endpoint, str(is_stream).lower()).observe(seconds)

    def on_refused(self, reason: str) -> None:
        self._refused(reason).inc()

    def expect_refusals(self, reason: str) -> None:
        self._refused(reason)  # starts at zero, so that the first refusal shows as an increase
