"""The Prometheus metrics, named as in the contract. Labels are bounded: never a text, a key or an address."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

FAST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
STEP_SECONDS = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1)
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
REDIS_SECONDS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

FINGERPRINT_DIGITS = 12
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Every app has its own registry, so that several apps in one process, as in tests, stay separate."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "kakehashi_requests", "Requests by endpoint and outcome", ["endpoint", "outcome"], registry=registry
        )
        self.refused = Counter("kakehashi_refused", "Requests refused, by reason", ["reason"], registry=registry)
        self.request_duration = Histogram(
            "kakehashi_request_duration_seconds",
            "Time from the arrival of a request to the last byte of its answer",
            ["endpoint", "stream"],
            buckets=REQUEST_SECONDS,
            registry=registry,
        )
        self.time_to_first_token = Histogram(
            "kakehashi_time_to_first_token_seconds",
            "Time from admission to the first token of a stream",
            buckets=FAST_SECONDS,
            registry=registry,
        )
        self.inter_token_latency = Histogram(
            "kakehashi_inter_token_latency_seconds",
            "Time between two tokens of a sentence in a stream",
            buckets=FAST_SECONDS,
            registry=registry,
        )
        self.queue_time = Histogram(
            "kakehashi_queue_time_seconds",
            "Time from the arrival of a sentence at its worker to its slot",
            buckets=FAST_SECONDS,
            registry=registry,
        )
        self.encode = Histogram(
            "kakehashi_encode_seconds", "One encoder batch", ["worker"], buckets=STEP_SECONDS, registry=registry
        )
        self.decode_step = Histogram(
            "kakehashi_decode_step_seconds", "One decode step", ["worker"], buckets=STEP_SECONDS, registry=registry
        )
        self.batch_rows = Histogram(
            "kakehashi_batch_rows", "Rows in a decode step", ["worker"], buckets=ROWS, registry=registry
        )
        self.requests_waiting = Gauge("kakehashi_requests_waiting", "Sentences waiting for a slot", registry=registry)
        self.queue_tokens = Gauge(
            "kakehashi_queue_tokens",
            "Tokens that waiting sentences are expected to generate, over all rows of a beam",
            registry=registry,
        )
        self.max_queue_tokens = Gauge(
            "kakehashi_max_queue_tokens", "Limit of kakehashi_queue_tokens; more is refused", registry=registry
        )
        self.cancelled_sentences = Counter(
            "kakehashi_cancelled_sentences", "Sentences cancelled because no client waited for them", registry=registry
        )
        self.rows_running = Gauge("kakehashi_rows_running", "Rows in the last step", ["worker"], registry=registry)
        self.slots_free = Gauge("kakehashi_slots_free", "Free slots", ["worker"], registry=registry)
        self.source_tokens = Counter("kakehashi_source_tokens", "Source tokens encoded", registry=registry)
        self.generated_tokens = Counter("kakehashi_generated_tokens", "Tokens generated", registry=registry)
        self.padding_tokens = Counter("kakehashi_padding_tokens", "Padding tokens encoded", registry=registry)
        self.coalesced = Counter(
            "kakehashi_coalesced", "Work shared with equal work in flight, by kind", ["kind"], registry=registry
        )
        self.worker_restarts = Counter(
            "kakehashi_worker_restarts", "Workers started again", ["worker"], registry=registry
        )
        self.workers_ready = Gauge("kakehashi_workers_ready", "Workers that accept work", registry=registry)
        self.kv_bytes = Gauge(
            "kakehashi_kv_bytes",
            "Bytes of KV cache reserved by a worker for all its checkpoints; 0 while it is down",
            ["worker"],
            registry=registry,
        )
        self.worker_resident_memory = Gauge(
            "kakehashi_worker_resident_memory_bytes",
            "Resident memory of a worker, including weights shared with other workers; 0 while it is down",
            ["worker"],
            registry=registry,
        )
        self.encoder_cache_requests = Counter(
            "kakehashi_encoder_cache_requests",
            "Encoder cache lookups by tier and result",
            ["tier", "result"],
            registry=registry,
        )
        self.encoder_cache_bytes = Gauge(
            "kakehashi_encoder_cache_bytes",
            "Bytes stored in a tier; for Redis, the memory of the whole server",
            ["tier"],
            registry=registry,
        )
        self.encoder_cache_damaged = Counter(
            "kakehashi_encoder_cache_damaged",
            "Values in Redis that did not match their key",
            registry=registry,
        )
        self.encoder_cache_writes = Counter(
            "kakehashi_encoder_cache_writes",
            "Writes of encoder outputs to Redis, by result",
            ["result"],
            registry=registry,
        )
        self.redis_circuit_open = Gauge(
            "kakehashi_redis_circuit_open",
            "1 while the circuit breaker of an operation is open",
            ["operation"],
            registry=registry,
        )
        self.redis_duration = Histogram(
            "kakehashi_redis_seconds",
            "Duration of a lookup in Redis, of a batch of writes, or of a count of a rate limit",
            ["operation"],
            buckets=REDIS_SECONDS,
            registry=registry,
        )
        self.log_lines_dropped = Counter(
            "kakehashi_log_lines_dropped",
            "Lines of the log that were dropped because standard error was not read fast enough",
            registry=registry,
        )
        self.build_info = Gauge(
            "kakehashi_build_info",
            "Version and configuration of the server",
            ["version", "model", "compute_type", "device", "isa"],
            registry=registry,
        )
        self.model_info = Gauge(
            "kakehashi_model_info",
            "A served checkpoint",
            ["model", "model_type", "compute_type", "fingerprint"],
            registry=registry,
        )
        ProcessCollector(namespace="kakehashi", registry=registry)  # of the service process

    def describe_build(
        self, *, version: str, model: str, model_type: str, device: str, compute_type: str, isa: str, fingerprint: str
    ) -> None:
        """Describe a served checkpoint."""
        self.build_info.labels(version, model, compute_type, device, isa).set(1)
        self.model_info.labels(model, model_type, compute_type, fingerprint[:FINGERPRINT_DIGITS]).set(1)

    def render(self) -> bytes:
        """The metrics in the Prometheus text exposition format."""
        return generate_latest(self._registry)
