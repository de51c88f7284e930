"""A line in the log for each request: what was asked for, by its route, how it ended, and how long that took.

Neither the address of the client nor the query, in which there may be texts; texts only where they were asked for.
"""

import logging

from service.api.record import RequestRecord

logger = logging.getLogger(__name__)

SECONDS_DIGITS = 6


class AccessLog:
    def __init__(self, *, with_texts: bool) -> None:
        self._with_texts = with_texts

    def write(self, record: RequestRecord, *, method: str, route: str, outcome: str, seconds: float) -> None:
        """Of what only asks how the server is, at level `debug`: that comes every few seconds."""
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
