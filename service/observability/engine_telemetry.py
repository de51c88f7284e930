"""Metrics from the reports of the engine, and from its state at each scrape."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Protocol

from service.engine.observer import SharedWork
from service.engine.types import CheckpointInfo, StepReport
from service.observability.metrics import Metrics


class WatchedWorker(Protocol):
    @property
    def name(self) -> str: ...
    def resident_bytes(self) -> int: ...


class WatchedEngine(Protocol):
    @property
    def max_queue_tokens(self) -> int: ...
    @property
    def queue_tokens(self) -> int: ...
    @property
    def num_waiting(self) -> int: ...
    @property
    def num_ready(self) -> int: ...
    @property
    def workers(self) -> Sequence[WatchedWorker]: ...


class EngineTelemetry:
    """An `EngineObserver`. The series of shared work start at zero, so that the first count shows as an increase."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        # To find a series takes longer than to count in it.
        self._encode = cache(metrics.encode.labels)
        self._decode_step = cache(metrics.decode_step.labels)
        self._batch_rows = cache(metrics.batch_rows.labels)
        self._rows_running = cache(metrics.rows_running.labels)
        self._slots_free = cache(metrics.slots_free.labels)
        for kind in ("encode", "request"):
            metrics.coalesced.labels(kind)

    def watch(self, engine: WatchedEngine) -> None:
        """Read the engine's state at each scrape."""
        metrics = self._metrics
        metrics.max_queue_tokens.set(engine.max_queue_tokens)
        metrics.queue_tokens.set_function(lambda: engine.queue_tokens)
        metrics.requests_waiting.set_function(lambda: engine.num_waiting)
        metrics.workers_ready.set_function(lambda: engine.num_ready)
        for worker in engine.workers:
            self._watch_worker(worker.name, worker.resident_bytes)

    def on_worker_ready(self, worker: str, checkpoints: list[CheckpointInfo]) -> None:
        self._metrics.kv_bytes.labels(worker).set(sum(info.kv_bytes for info in checkpoints))
        self._set_rows(worker, num_free=sum(info.max_rows for info in checkpoints), num_running=0)

    def on_worker_lost(self, worker: str) -> None:
        self._metrics.kv_bytes.labels(worker).set(0)
        self._set_rows(worker, num_free=0, num_running=0)

    def on_worker_restarted(self, worker: str) -> None:
        self._metrics.worker_restarts.labels(worker).inc()

    def on_turn(self, worker: str, report: StepReport) -> None:
        metrics = self._metrics
        for started in report.started:
            metrics.queue_time.observe(started.queue_seconds)
        metrics.generated_tokens.inc(sum(len(progress.tokens) for progress in report.progress))
        for stats in report.steps:
            if stats.num_source_tokens:
                self._encode(worker).observe(stats.encode_seconds)
                metrics.source_tokens.inc(stats.num_source_tokens)
                metrics.padding_tokens.inc(stats.num_padding_tokens)
            for _ in range(stats.num_steps):
                self._decode_step(worker).observe(stats.decode_seconds / stats.num_steps)
                self._batch_rows(worker).observe(stats.num_rows)
        self._set_rows(worker, num_free=report.num_free_rows, num_running=report.num_running)

    def on_shared_work(self, kind: SharedWork) -> None:
        self._metrics.coalesced.labels(kind).inc()

    def on_cancelled(self) -> None:
        self._metrics.cancelled_sentences.inc()

    def _watch_worker(self, name: str, resident_bytes: Callable[[], float]) -> None:
        self._metrics.worker_restarts.labels(name)
        self._metrics.kv_bytes.labels(name)
        self._metrics.worker_resident_memory.labels(name).set_function(resident_bytes)

    def _set_rows(self, worker: str, *, num_free: int, num_running: int) -> None:
        self._rows_running(worker).set(num_running)
        self._slots_free(worker).set(num_free)
