"""Metrics and traces from the reports of the encoder cache."""

from service.cache.observer import Operation, Tier, WriteResult
from service.observability.metrics import Metrics
from service.observability.tracing import current_trace

TIERS: tuple[Tier, ...] = ("memory", "redis")
OPERATIONS: tuple[Operation, ...] = ("read", "write", "limit")
WRITE_RESULTS: tuple[WriteResult, ...] = ("ok", "error", "dropped")


class CacheTelemetry:
    """A `CacheObserver`. All series start at zero, so that a first miss or failure shows as an increase."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        lookups = metrics.encoder_cache_requests
        self._memory_hits, self._memory_misses = lookups.labels("memory", "hit"), lookups.labels("memory", "miss")
        self._used_bytes = {tier: metrics.encoder_cache_bytes.labels(tier) for tier in TIERS}
        self._writes = {result: metrics.encoder_cache_writes.labels(result) for result in WRITE_RESULTS}
        self._open = {operation: metrics.redis_circuit_open.labels(operation) for operation in OPERATIONS}
        self._duration = {operation: metrics.redis_duration.labels(operation) for operation in OPERATIONS}
        for tier in TIERS:
            for result in ("hit", "miss", "error"):
                lookups.labels(tier, result)

    def on_memory_lookup(self, *, is_hit: bool) -> None:
        (self._memory_hits if is_hit else self._memory_misses).inc()

    def on_redis_lookup(self, *, began_at: float, num_hits: int, num_misses: int, num_errors: int) -> None:
        for result, count in (("hit", num_hits), ("miss", num_misses), ("error", num_errors)):
            self._metrics.encoder_cache_requests.labels("redis", result).inc(count)
        if (trace := current_trace()) is not None:
            attributes: dict[str, str | int] = {
                "db.system.name": "redis",
                "db.operation.name": "GET",
                "db.operation.batch.size": num_hits + num_misses + num_errors,
                "kakehashi.hits": num_hits,
            }
            if num_errors:
                attributes["error.type"] = "_OTHER"
            trace.add_look_up("GET", began=began_at, attributes=attributes, is_call=True)

    def on_redis_writes(self, result: WriteResult, num_outputs: int) -> None:
        self._writes[result].inc(num_outputs)

    def on_redis_operation(self, operation: Operation, *, seconds: float) -> None:
        self._duration[operation].observe(seconds)

    def on_damaged_value(self) -> None:
        self._metrics.encoder_cache_damaged.inc()

    def on_circuit_change(self, operation: Operation, *, is_open: bool) -> None:
        self._open[operation].set(is_open)

    def on_memory_use(self, tier: Tier, num_bytes: int) -> None:
        self._used_bytes[tier].set(num_bytes)
