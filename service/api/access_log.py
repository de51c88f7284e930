"""The access log: one line for each request, with its route, outcome and duration.

It never contains the client's address or the query, which may contain texts. Texts are only logged if a setting
allows it.
"""

import logging

from service.api.record import RequestRecord

logger = logging.getLogger(__name__)

SECONDS_DIGITS = 6


class AccessLog:
    def __init__(self, *, with_texts: bool) -> None:
        self._with_texts = with_texts

    def write(self, record: RequestRecord, *, method: str, route: str, outcome: str, seconds: float) -> None:
        """Log one request. Health checks and scrapes, which arrive every few seconds, are logged at level `debug`."""
        level = logging.DEBUG if record.is_probe else logging.INFO
        if not logger.isEnabledFor(level):
            return
        fields: dict[str, object] = {
            "method": method,
            "route": route,
            "status": record.status,
            "outcome": outcome,
            "stream": record.is_stream,
            "duration_seconds": round(seconds, SECONDS_DIGITS),
        }
        if record.key is not None:
            fields["key"] = record.key
        if (usage := record.usage) is not None:
            fields["source_tokens"] = usage.source_tokens
            fields["generated_tokens"] = usage.generated_tokens
            fields["encoder_cache_hits"] = usage.encoder_cache_hits
            fields["encoder_cache_misses"] = usage.encoder_cache_misses
        if self._with_texts and record.texts:
            fields["texts"] = record.texts
        logger.log(level, "request", extra={"fields": fields})
