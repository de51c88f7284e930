"""Metrics from the reports of streamed translations."""

from service.observability.metrics import Metrics


class TranslationTelemetry:
    """A `TranslationObserver`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def observe_first_token(self, seconds: float) -> None:
        self._metrics.time_to_first_token.observe(seconds)

    def observe_next_token(self, seconds: float) -> None:
        self._metrics.inter_token_latency.observe(seconds)
