"""Laws of the cache's metrics: every series starts at zero, and each report reaches its own."""

from prometheus_client.parser import text_string_to_metric_families

from service.observability.cache_telemetry import CacheTelemetry
from service.observability.metrics import Metrics


def cache_series(metrics: Metrics) -> dict[str, float]:
    """Values by name and labels, without `kakehashi_`; of histograms the sums."""
    values = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            name = sample.name.removeprefix("kakehashi_")
            is_of_cache = name.startswith(("encoder_cache", "redis"))
            if is_of_cache and not name.endswith(("_bucket", "_count", "_created")):
                labels = [value for _, value in sorted(sample.labels.items())]
                values[" ".join([name, *labels])] = sample.value
    return values


REPORTED = {
    "encoder_cache_requests_total hit memory": 1,
    "encoder_cache_requests_total miss memory": 0,
    "encoder_cache_requests_total error memory": 0,
    "encoder_cache_requests_total hit redis": 1,
    "encoder_cache_requests_total miss redis": 2,
    "encoder_cache_requests_total error redis": 3,
    "encoder_cache_bytes memory": 0,
    "encoder_cache_bytes redis": 5,
    "encoder_cache_damaged_total": 1,
    "encoder_cache_writes_total ok": 0,
    "encoder_cache_writes_total error": 0,
    "encoder_cache_writes_total dropped": 4,
    "redis_circuit_open read": 0,
    "redis_circuit_open write": 1,
    "redis_circuit_open limit": 0,
    "redis_seconds_sum read": 0.002,
    "redis_seconds_sum write": 0,
    "redis_seconds_sum limit": 0,
}


def test_series_start_at_zero():
    CacheTelemetry(metrics := Metrics())
    assert cache_series(metrics) == dict.fromkeys(REPORTED, 0)


def test_reports_are_counted():
    telemetry = CacheTelemetry(metrics := Metrics())
    telemetry.on_memory_lookup(is_hit=True)
    telemetry.on_redis_lookup(began_at=0.0, num_hits=1, num_misses=2, num_errors=3)
    telemetry.on_redis_writes("dropped", 4)
    telemetry.on_redis_operation("read", seconds=0.002)
    telemetry.on_damaged_value()
    telemetry.on_circuit_change("write", is_open=True)
    telemetry.on_memory_use("redis", 5)
    assert cache_series(metrics) == REPORTED
